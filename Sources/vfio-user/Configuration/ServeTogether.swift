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
  let servers = try openAll(file.devices, &served)
  for (server, listener) in servers { try server.start(on: listener) }
  let hangups = served.compactMap(\.hangup)
  if !hangups.isEmpty { try onHangup { hangups.forEach { $0() } } }
  _ = clinux_wait_for_termination()
  servers.forEach { $0.server.stop() }
  servers.forEach { $0.server.waitUntilStopped() }
}

/// Takes all the sockets first: where one is missing, no file has been made for nothing.
private func openAll(
  _ devices: [ConfiguredDevice], _ served: inout [ServedDevice]
) throws -> [(server: DeviceServer, listener: ListeningSocket)] {
  let listeners = try devices.map { device in
    try at(device.place) { try device.command.socket.listen() }
  }
  return try zip(devices, listeners).map { device, listener in
    try at(device.place) {
      let made = try device.command.makeDevice()
      served.append(made)
      if let notice = made.notice { say("\(device.command.socket.name): \(notice)") }
      return (try DeviceServer(made.device), listener)
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
