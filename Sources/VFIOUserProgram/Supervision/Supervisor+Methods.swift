internal import LinuxPrimitives

// The methods of a process that serves, carried out by the processes of the devices; Documentation/Control.md.

extension Supervisor {
  var methods: [ControlMethod] {
    ControlMethod.described([.version(since: began), listing] + changes + measures + ofProcess)
  }

  private var listing: ControlMethod {
    ControlMethod("list", "Lists the devices.") { [self] _ in
      try JSONValue(of: DeviceList(devices: list()))
    }
  }

  private var changes: [ControlMethod] {
    [
      ControlMethod(
        "add", "Adds a device, in a process of its own.",
        parameters: ["device", "arguments", "options", "folder"], isChange: true
      ) { [self] call in
        try JSONValue(of: add(call.parameters(AddParameters.self)))
      },
      ControlMethod(
        "remove", "Removes a device and its process.", parameters: ["socket", "force"],
        isChange: true
      ) { [self] call in
        try remove(call.parameters(RemoveParameters.self))
        return .object([:])
      },
      ControlMethod(
        "resize", "Gives a disk another size, or looks whether it has one.",
        parameters: ["socket", "namespace", "size"], isChange: true
      ) { [self] call in
        let parameters = try call.parameters(ResizeParameters.self)
        return try ask(
          process(of: parameters.socket), "resize", JSONValue(of: parameters), for: .seconds(20))
      },
      ControlMethod(
        "limit", "Changes rate limits of a disk.", parameters: ["socket", "limits"],
        isChange: true
      ) { [self] call in
        try limit(call.parameters(LimitParameters.self))
        return .object([:])
      },
    ]
  }

  private var measures: [ControlMethod] {
    [
      ControlMethod(
        "stats", "Says what the devices have done and hold.", parameters: ["socket"]
      ) { [self] call in try JSONValue(of: statistics(call)) },
      ControlMethod(
        "limits", "Says how much there may be of what, and how much there is.",
        parameters: ["socket"]
      ) { [self] call in try JSONValue(of: limits(call)) },
    ]
  }

  private var ofProcess: [ControlMethod] {
    [
      .logLevel { [self] in spread(logLevel: $0) },
      ControlMethod("configuration", "Writes a configuration file with the present devices.") {
        [self] _ in
        try JSONValue(of: ConfigurationText(text: configuration()))
      },
      ControlMethod(
        "upgrade", "Replaces the program of the device processes, and of this one.",
        parameters: ["program"], isChange: true
      ) { [self] call in
        guard !call.isInBatch else {
          throw ControlFailure("an upgrade is no part of a batch, because its answer comes later")
        }
        let program = try call.parameters(UpgradeParameters.self).program
        try upgrade(to: program, UpgradeCaller(call.caller, id: call.request.id))
        return nil
      },
    ]
  }

  private func configuration() throws -> String {
    let plans = state.withLock { $0.processes.map(\.plan) }
    let requests = plans.flatMap(\.devices).map(\.request)
    guard !requests.isEmpty else {
      throw CommandError("there is no device, and a configuration file has at least one")
    }
    let isolated = plans.filter(\.isAlone).flatMap(\.devices).map(\.request)
    return try catalogue.write(requests, isolated, LogLevel.current.rawValue)
  }
}
