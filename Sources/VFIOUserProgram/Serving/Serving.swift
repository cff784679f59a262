internal import CLinux
internal import LinuxPrimitives
internal import VFIOUserServer

/// Why the process ends.
private enum Ending {
  case asked
  case failed(CommandError)
}

/// Serves devices until SIGINT or SIGTERM; then removes the sockets that it has created.
///
/// Call it once, from the main thread: it blocks the signals and sets up logging for the process.
package func serve(_ devices: [DeviceToServe], _ log: LogOptions) throws {
  log.bootstrap()
  clinux_block_termination_signals()
  clinux_block_hangup()
  let opened = try openAll(devices)
  defer { opened.forEach { $0.running.close() } }
  ActivatedSockets.noteUnused()
  let ending = Monitor<Ending?>(nil)
  for one in opened {
    let name = one.asked.name
    try one.server.start(on: one.listener) { failure in
      ending.update { $0 = $0 ?? .failed(noMoreClients(name, failure)) }
    }
  }
  let hangups = opened.compactMap(\.running.hangup)
  if !hangups.isEmpty { try onHangup { hangups.forEach { $0() } } }
  try Announcement(of: opened).print()
  try DetachedThread.start("signals") {
    _ = clinux_wait_for_termination()
    ending.update { $0 = $0 ?? .asked }
  }
  let reason = ending.withLock(when: { $0 != nil }) { $0 } ?? nil
  opened.forEach { $0.server.stop() }
  opened.forEach { $0.server.waitUntilStopped() }
  if case .failed(let failure)? = reason { throw failure }
}

/// The error if a device's process ends without having been asked to.
private func noMoreClients(_ socket: String, _ failure: SystemCallError) -> CommandError {
  CommandError(
    "\(socket): no more clients are accepted: \(failure). Has somebody shut the socket down?")
}

/// Calls `body` on each SIGHUP, on its own thread; SIGHUP must already be blocked.
private func onHangup(_ body: @escaping @Sendable () -> Void) throws {
  try DetachedThread.start("hangup") {
    while clinux_wait_for_hangup() == 0 { body() }
  }
}
