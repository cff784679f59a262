internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import VFIOUserServer

// What the supervisor asks of its processes. A guest may have taken one over: it answers late, or anything. So no answer is
// waited for long, what a device is called is never taken from it, and it cannot speak for another device.

extension Supervisor {
  /// How long one process may take to answer a question.
  private static let answerPatience: Duration = .seconds(2)
  /// How long all of them may take together.
  private static let answersPatience: Duration = .seconds(8)

  /// Calls a method of a process.
  func ask(
    _ one: DeviceProcess, _ method: String, _ parameters: JSONValue? = nil, for patience: Duration
  ) throws -> JSONValue {
    guard one.process > 0 else {
      throw CommandError("the process of \(one.plan.name) has died, and is about to start again")
    }
    return try ControlClient(process: one.process).call(method, parameters, for: patience)
  }

  /// Calls a method of processes; nil for one that does not answer.
  private func askAll<Answer: Decodable>(
    _ processes: [DeviceProcess], _ method: String, as type: Answer.Type
  ) -> [(DeviceProcess, Answer?)] {
    let deadline = Deadline.after(Self.answersPatience)
    return processes.map { one in
      let left = Duration.nanoseconds(max(0, deadline.remaining))
      let answer = try? ask(one, method, for: min(Self.answerPatience, left)).decode(type)
      return (one, answer)
    }
  }

  /// The processes of the device that a call is about, or all.
  private func processes(_ call: ControlCall) throws -> [DeviceProcess] {
    let socket = try call.parameters(SelectionParameters.self).socket
    return try socket.map { [try process(of: $0)] } ?? state.withLock { $0.processes }
  }

  func list() throws -> [DeviceList.Device] {
    askAll(state.withLock { $0.processes }, "list", as: DeviceList.self).flatMap { one, answer in
      one.plan.devices.map { device in
        let said = answer?.devices.first { $0.socket == device.socket }
        return DeviceList.Device(
          socket: device.socket, kind: device.request.kind, arguments: device.request.arguments,
          client: said?.client, qemu: "-device \(QEMU.device(socket: device.socket))",
          notice: said == nil ? "its process does not answer" : said?.notice,
          process: one.process)
      }
    }
  }

  func statistics(_ call: ControlCall) throws -> ProcessStatistics {
    let answers = askAll(try processes(call), "stats", as: ProcessStatistics.self)
    let devices = answers.flatMap { one, answer in
      one.plan.matching(answer?.devices ?? [], by: \.socket).map { device, said in
        ProcessStatistics.Device(
          socket: device.socket, kind: device.request.kind, statistics: said.statistics,
          process: one.process)
      }
    }
    return ProcessStatistics(
      process: getpid(), version: Program.libraryVersion, time: Deadline.now, use: .now,
      devices: devices)
  }

  func limits(_ call: ControlCall) throws -> ProcessLimits {
    let answers = askAll(try processes(call), "limits", as: ProcessLimits.self)
    let devices = answers.flatMap { one, answer in
      one.plan.matching(answer?.devices ?? [], by: \.socket).map { device, said in
        ProcessLimits.Device(
          socket: device.socket, limits: (answer?.process ?? []) + said.limits)
      }
    }
    return ProcessLimits(process: ProcessLimits.ofProcess, devices: devices)
  }

  /// Sets the log level of the processes, too.
  func spread(logLevel level: String) {
    let parameters = try? JSONValue(of: LogLevelParameters(level: level))
    for one in state.withLock({ $0.processes }) {
      _ = try? ask(one, "log-level", parameters, for: Self.answerPatience)
    }
  }

  /// Whether a process is or was a client of one of the devices, as far as their processes say.
  ///
  /// What a process has said is remembered when it is gone.
  func isClient(_ process: Int32) -> Bool {
    let answers = askAll(
      state.withLock { $0.processes }, "clients", as: [ClientProcesses.Entry].self)
    for (_, entries) in answers { ClientProcesses.ofThisProcess.add(entries ?? []) }
    return ClientProcesses.ofThisProcess.contains(process)
  }
}

extension ProcessPlan {
  /// The devices of the plan with what a process says of them; what it says of others does not count.
  fileprivate func matching<Said>(
    _ said: [Said], by socket: (Said) -> String
  ) -> [(Device, Said)] {
    devices.compactMap { device in
      said.first { socket($0) == device.socket }.map { (device, $0) }
    }
  }
}
