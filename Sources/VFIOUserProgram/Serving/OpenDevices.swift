internal import Logging
internal import VFIOUserServer
internal import LinuxPrimitives

/// A device that is ready to be served.
struct OpenDevice {
  let asked: DeviceToServe
  let served: ServedDevice
  let running: RunningDevice
  let server: DeviceServer
  let listener: ListeningSocket
}

/// Opens all devices, or none.
///
/// Everything that can be checked is checked before anything is created; then the sockets are
/// created. If a device cannot be opened nevertheless, the others are closed, and files created for
/// them are removed.
func openAll(_ devices: [DeviceToServe]) throws -> [OpenDevice] {
  for device in devices { try device.explaining { try device.command.look() } }
  var opened: [OpenDevice] = []
  do {
    let listeners = try devices.map { device in
      try device.explaining { try device.command.socket.listen() }
    }
    for (device, listener) in zip(devices, listeners) {
      try device.explaining { opened.append(try open(device, listener)) }
    }
    return opened
  } catch {
    for one in opened {
      one.running.close()
      one.served.removeMadeFiles()
    }
    throw error
  }
}

private func open(_ device: DeviceToServe, _ listener: ListeningSocket) throws -> OpenDevice {
  let served = try device.command.openDevice(device.log)
  var options = served.options
  options.logger = device.log.logger(options.logger.label)
  options.clientLogLevel = .info
  options.memoryFiles = device.command.socket.memoryFiles.files
  let (server, running) = try served.plug(options)
  return OpenDevice(
    asked: device, served: served, running: running, server: server, listener: listener)
}
