import LinuxPrimitives
import CLinux
import VFIOUserServer

/// Serves the device of one command until SIGINT or SIGTERM; then removes the socket.
func serve(_ command: some DeviceCommand) throws {
  guard command.parent.config == nil else {
    throw UsageError("--config FILE says what to serve; leave out the device behind it.")
  }
  let device = DeviceToServe(command)
  try checkClaims(of: [device])
  try serve([device], command.log)
}

/// Serves the devices of a file until SIGINT or SIGTERM; then removes all sockets.
func serve(_ file: ConfigurationFile) throws {
  try serve(file.devices.map { DeviceToServe($0.command, at: $0.place) }, file.log)
}

/// Why the process ends.
private enum Ending {
  case asked
  case failed(CommandError)
}

private func serve(_ devices: [DeviceToServe], _ log: LogOptions) throws {
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
