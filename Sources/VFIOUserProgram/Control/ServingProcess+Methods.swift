internal import Glibc
internal import LinuxPrimitives
internal import VFIOUserServer

// What callers of the control socket can ask for; Documentation/Control.md describes each.

extension ServingProcess {
  var methods: [ControlMethod] {
    ControlMethod.described(
      [.version(since: began, sandbox: sandbox.state), list] + changes + measures + ofProcess)
  }

  private var list: ControlMethod {
    ControlMethod("list", "Lists the devices.") { [self] _ in
      waitUntilServing()
      return try JSONValue(
        of: DeviceList(devices: devices.all.map { $0.entry(devices.request(of: $0)) }))
    }
  }

  // MARK: Changes of devices

  private var changes: [ControlMethod] {
    [
      ControlMethod(
        "add", "Adds a device and serves it.",
        parameters: ["device", "arguments", "options", "folder"], isChange: true
      ) { [self] call in
        let parameters = try call.parameters(AddParameters.self)
        waitUntilServing()
        let one = try devices.add(parameters)
        logger.notice("a device was added", metadata: ["socket": "\(one.socketName)"])
        return try JSONValue(of: one.entry(one.asked.request))
      },
      ControlMethod(
        "remove", "Removes a device.", parameters: ["socket", "force"], isChange: true
      ) { [self] call in
        let parameters = try call.parameters(RemoveParameters.self)
        waitUntilServing()
        try devices.remove(parameters.socket, force: parameters.force ?? false)
        logger.notice("a device was removed", metadata: ["socket": "\(parameters.socket)"])
        return .object([:])
      },
      ControlMethod(
        "resize", "Gives a disk another size, or looks whether it has one.",
        parameters: ["socket", "namespace", "size"], isChange: true
      ) { [self] call in
        let parameters = try call.parameters(ResizeParameters.self)
        try devices.changing {
          let one = try devices.device(on: parameters.socket)
          guard let resize = one.files.resize else {
            throw CommandError("the device on \(one.socketName) has no size")
          }
          try resize(parameters)
          one.running.hangup?()
        }
        return .object([:])
      },
      ControlMethod(
        "limit", "Changes rate limits of a disk.", parameters: ["socket", "limits"],
        isChange: true
      ) { [self] call in
        let parameters = try call.parameters(LimitParameters.self)
        waitUntilServing()
        try devices.limit(parameters)
        logger.notice(
          "rate limits were changed",
          metadata: [
            "socket": "\(parameters.socket)", "limits": "\(parameters.limits)",
          ])
        return .object([:])
      },
    ]
  }

  // MARK: Figures

  private var measures: [ControlMethod] {
    [
      ControlMethod(
        "stats", "Says what the devices have done and hold.", parameters: ["socket"]
      ) { [self] call in
        let chosen = try devices(call)
        return try JSONValue(
          of: ProcessStatistics(
            process: getpid(), version: Program.libraryVersion, time: Deadline.now, use: .now,
            devices: chosen.map {
              ProcessStatistics.Device(
                socket: $0.address, kind: $0.kind, statistics: $0.server.statistics)
            }))
      },
      ControlMethod(
        "limits", "Says how much there may be of what, and how much there is.",
        parameters: ["socket"]
      ) { [self] call in
        let chosen = try devices(call)
        return try JSONValue(
          of: ProcessLimits(
            process: ProcessLimits.ofProcess,
            devices: chosen.map {
              ProcessLimits.Device(socket: $0.address, limits: ProcessLimits.of($0))
            }))
      },
    ]
  }

  private func devices(_ call: ControlCall) throws -> [OpenDevice] {
    let parameters = try call.parameters(SelectionParameters.self)
    waitUntilServing()
    return try parameters.socket.map { [try devices.device(on: $0)] } ?? devices.all
  }

  // MARK: The process

  private var ofProcess: [ControlMethod] {
    [
      .logLevel(),
      ControlMethod("clients", "Says which processes are or were clients, and change nothing.") {
        _ in
        try JSONValue(of: ClientProcesses.ofThisProcess.entries)
      },
      ControlMethod("configuration", "Writes a configuration file with the present devices.") {
        [self] _ in
        try JSONValue(of: ConfigurationText(text: devices.configuration()))
      },
      ControlMethod(
        "upgrade", "Replaces the program of the process.", parameters: ["program"], isChange: true
      ) { [self] call in
        waitUntilServing()
        let program = try call.parameters(UpgradeParameters.self).program
        guard !call.isInBatch else {
          throw ControlFailure("an upgrade is no part of a batch, because its answer comes later")
        }
        try demandUpgrade(
          program, call.caller.takeFile(), UpgradeCaller(call.caller, id: call.request.id))
        return nil
      },
    ]
  }
}

extension OpenDevice {
  /// The absolute path of its socket, or what the socket is called.
  fileprivate var address: String { served.absolutePath ?? socketName }

  fileprivate func entry(_ request: DeviceRequest?) -> DeviceList.Device {
    DeviceList.Device(
      socket: address, kind: kind, arguments: request?.arguments,
      client: server.clientProcess,
      qemu: served.absolutePath.map { "-device \(QEMU.device(socket: $0))" },
      notice: files.notice)
  }
}
