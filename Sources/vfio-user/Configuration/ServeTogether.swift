import CLinux
import VFIOUserServer
import VFIOUserTransport

/// Serves the devices of a file until SIGINT or SIGTERM, then removes all sockets.
///
/// When one of them cannot be made, the others are taken back and none is served.
func serve(_ file: ConfigurationFile) throws {
  file.log.bootstrap()
  clinux_block_termination_signals()
  clinux_block_hangup()
  var served: [ServedDevice] = []
  defer { served.forEach { $0.close() } }
  let servers: [OpenDevice]
  do {
    servers = try openAll(file.devices, &served)
  } catch {
    served.forEach { $0.takeBack() }
    throw error
  }
  HandedOver.noteUnused()
  let ending = Monitor<Ending?>(nil)
  for one in servers {
    try one.server.start(on: one.listener) { failure in
      ending.update { $0 = $0 ?? .failed(noMoreClients(one.name, failure)) }
    }
  }
  let hangups = served.compactMap(\.hangup)
  if !hangups.isEmpty { try onHangup { hangups.forEach { $0() } } }
  try DetachedThread.start("signals") {
    _ = clinux_wait_for_termination()
    ending.update { $0 = $0 ?? .asked }
  }
  let reason = ending.withLock(when: { $0 != nil }) { $0 } ?? nil
  servers.forEach { $0.server.stop() }
  servers.forEach { $0.server.waitUntilStopped() }
  if case .failed(let failure)? = reason { throw failure }
}

/// Why the process ends.
private enum Ending {
  case asked
  case failed(CommandFailure)
}

private struct OpenDevice {
  let name: String
  let server: DeviceServer
  let listener: ListeningSocket
}

/// Takes all the sockets first: where one is missing, no file has been made for nothing.
private func openAll(
  _ devices: [ConfiguredDevice], _ served: inout [ServedDevice]
) throws -> [OpenDevice] {
  let listeners = try devices.map { device in
    try at(device.place) { try device.command.socket.listen() }
  }
  return try zip(devices, listeners).map { device, listener in
    try at(device.place) {
      let log = DeviceLog(name: device.place.withinFile)
      let made = try device.command.makeDevice(log)
      served.append(made)
      if let notice = made.notice { say("\(device.command.socket.name): \(notice)") }
      return OpenDevice(
        name: "\(device.place.withinFile), \(device.command.socket.name)",
        server: try DeviceServer(made.device, log.serverOptions), listener: listener)
    }
  }
}

/// Says which device a failure is about.
private func at<Result>(_ place: ConfigurationPlace, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch {
    throw CommandFailure("\(place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
  }
}
