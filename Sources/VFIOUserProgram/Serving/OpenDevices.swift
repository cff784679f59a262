internal import CLinux
internal import Logging
internal import SystemPackage
internal import VFIOUserServer
internal import ArgumentParser
internal import LinuxPrimitives

/// A device that is ready to be served.
struct OpenDevice {
  let asked: DeviceToServe
  let files: ServedDevice
  let running: RunningDevice
  let server: DeviceServer
  let listener: ListeningSocket

  /// The name of its socket.
  var socketName: String { asked.command.socket.name }

  /// The kind of device: the subcommand of `serve`.
  var kind: String {
    asked.request?.kind ?? type(of: asked.command).configuration.commandName ?? "device"
  }

  /// What is printed when the device is ready.
  var readiness: String {
    guard case .path(let path)? = asked.command.socket.place else {
      return "\(kind) is ready on \(socketName)"
    }
    return ReadyDevice.readiness(kind, on: path)
  }

  /// Whether its socket has this name or absolute path.
  ///
  /// The file behind it is not looked at: it could be on a file system that does not answer.
  func isOn(_ socket: String) -> Bool { socket == socketName || socket == served.absolutePath }

  /// Gives up a device that was not served yet.
  func close() {
    running.close()
    listener.remove()
    files.removeMadeFiles()
  }

  var served: ServedServer {
    ServedServer(
      name: asked.name, socketName: asked.command.socket.name, server: server, listener: listener)
  }
}

/// The server of a device, and what it is called.
struct ServedServer: Sendable {
  /// The name used in messages.
  let name: String
  /// The name of its socket, by which a new version of the program finds it.
  let socketName: String
  let server: DeviceServer
  let listener: ListeningSocket

  /// The absolute path of the socket; nil if it has none of ours.
  var absolutePath: String? {
    listener.path.flatMap { try? AbsolutePath.of($0.string) }
  }
}

/// Opens all devices, or none.
///
/// Everything that can be checked is checked before anything is created; then the sockets are
/// created. If a device cannot be opened nevertheless, the others are closed, and files created for
/// them are removed.
///
/// - Parameters:
///   - tookOver: what the program before this one has left. The devices in it continue.
///   - confine: called when files and sockets are open, before the devices are made with their threads.
func openAll(
  _ devices: [DeviceToServe], _ tookOver: TakeOver? = nil,
  confine: ([(DeviceToServe, ServedDevice)]) throws -> Void = { _ in }
) throws -> [OpenDevice] {
  if tookOver == nil {
    for device in devices { try device.explaining { try device.command.look() } }
  }
  var opened: [OpenDevice] = []
  var files: [ServedDevice] = []
  do {
    let listeners =
      try devices.map { device in
        guard tookOver?.server(device.command.socket.name) == nil else { return nil }
        return try device.explaining { try device.command.socket.listen() }
      } as [ListeningSocket?]
    for device in devices {
      try device.explaining { files.append(try device.command.openDevice(device.log)) }
    }
    try confine(Array(zip(devices, files)))
    for (index, device) in devices.enumerated() {
      try device.explaining {
        opened.append(try open(device, files[index], listeners[index], tookOver))
      }
    }
    return opened
  } catch {
    // The program before this one has to find everything as it was.
    Successor.fallBack(error)
    for one in opened { one.running.close() }
    for one in files { one.removeMadeFiles() }
    throw error
  }
}

/// - Parameter listener: nil for a device that is taken over.
private func open(
  _ device: DeviceToServe, _ served: ServedDevice, _ listener: ListeningSocket?,
  _ tookOver: TakeOver?
) throws -> OpenDevice {
  var options = served.options
  options.logger = device.log.logger(options.logger.label)
  options.clientLogLevel = .info
  options.memoryFiles = device.command.socket.memoryFiles.files
  options.handoverName = device.command.socket.name
  let (server, running) = try served.plug(options)
  func opened(_ listener: ListeningSocket) -> OpenDevice {
    OpenDevice(
      asked: device, files: served, running: running, server: server, listener: listener)
  }
  if let listener {
    // One that is new beside others that are taken over.
    if tookOver != nil { (running.device as? any SavableDevice)?.resume() }
    return opened(listener)
  }
  do {
    guard let tookOver, let saved = tookOver.server(device.command.socket.name) else {
      throw CommandError("there is nothing to take over")
    }
    return opened(try tookOver.take(server, saved))
  } catch {
    // Before the device that was just made is closed by the unwinding.
    Successor.fallBack(error)
    throw error
  }
}
