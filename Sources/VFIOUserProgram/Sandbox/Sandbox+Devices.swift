internal import SystemPackage
internal import VFIOUserServer

extension Sandbox {
  /// Confines the process to what open devices need, or continues in what the program before this one has made.
  ///
  /// - Parameters:
  ///   - devices: the devices, and what was opened for them.
  ///   - tookOver: what the program before this one has left; nil in an ordinary start.
  init(
    _ options: ServingOptions, _ devices: [(DeviceToServe, ServedDevice)], _ tookOver: TakeOver?
  ) throws {
    if let inForce = tookOver?.sandbox {
      try self.init(inForce)
      return
    }
    var choice = options.sandbox
    // Nobody knows what the device of another author needs, unless he has said so.
    if choice.sandbox == nil, devices.contains(where: { $0.1.needs == nil }) {
      choice.sandbox = .off
    }
    let needs = devices.compactMap(\.1.needs).reduce(SandboxNeeds(), +)
    let sockets = devices.compactMap(\.0.command.socket.path) + needs.sockets
    let opened = [OwnProgram.present, ServedConfiguration.path].compactMap(\.self)
    func files(_ paths: [FilePath], _ task: Broker.File.Task) -> [Broker.File] {
      paths.map { Broker.File(path: $0.string, task: task) }
    }
    try self.init(
      choice, needs,
      files: files(sockets + [options.control.map { FilePath($0) }].compactMap(\.self), .remove)
        + files(needs.made, .discard) + opened.map { Broker.File(path: $0, task: .open) })
  }
}
