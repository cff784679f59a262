import VFIOUserProgram

extension Serve {
  /// Serves the devices of a file: in this process, or in processes of their own.
  ///
  /// What takes over from another program is what that was.
  func serve(_ path: String) throws {
    let file = try ConfigurationFile(at: path)
    let options = ServingOptions(
      file.log, control: control.control, catalogue: .standard, privileges: file.privileges,
      sandbox: sandbox.or(file.sandbox))
    if sharedTables {
      try VFIOUserProgram.serve(file.devices.filter { !$0.isIsolated }.map(\.toServe), options)
    } else if try Successor.isSupervisor ?? file.devices.contains(where: \.isIsolated) {
      let plans = try file.plans(path, sandbox)
      try supervise(
        plans.map(\.plan),
        areStrangers: file.devices.allSatisfy { $0.command.privileges.user != nil }, options
      ) { plan, message in
        let place = plans.first { $0.plan == plan }?.place ?? ConfigurationPlace(file: path)
        return CommandError("\(place): \(ConfiguredDevice.inWordsOfTheFile(message))")
      }
    } else {
      try VFIOUserProgram.serve(file.devices.map(\.toServe), options)
    }
  }
}

extension ConfiguredDevice {
  fileprivate var toServe: DeviceToServe {
    DeviceToServe(command, placeName: place.withinFile, request: request) { error in
      CommandError("\(place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
    }
  }
}

extension ConfigurationFile {
  /// The processes for the devices: one for each that is isolated, and one for the others together.
  ///
  /// - Parameter sandbox: what the command line says.
  fileprivate func plans(
    _ path: String, _ sandbox: SandboxOptions
  ) throws -> [(plan: ProcessPlan, place: ConfigurationPlace)] {
    var plans: [(plan: ProcessPlan, place: ConfigurationPlace)] = []
    var others: [(DeviceRequest, socket: String)] = []
    for device in devices {
      guard let request = device.request, case .path(let path)? = device.command.socket.place else {
        throw ConfigurationError(
          device.place,
          "a file with isolation = \"process\" takes socket = PATH for each device, because descriptors and systemd's sockets are handed to one process."
        )
      }
      let socket = try AbsolutePath.of(path)
      if device.isIsolated {
        let options = sandbox.or(self.sandbox).arguments
        plans.append((.alone(request, socket: socket, options: options), device.place))
      } else {
        others.append((request, socket))
      }
    }
    if !others.isEmpty {
      let arguments = ["serve", "--config", try AbsolutePath.of(path), "--shared-tables"] + sandbox.arguments
      plans.append((.shared(others, arguments: arguments), ConfigurationPlace(file: path)))
    }
    return plans
  }
}
