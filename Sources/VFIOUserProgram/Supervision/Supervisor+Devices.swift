internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

// Starting device processes and ending them; called on any thread but the main one.

extension Supervisor {
  /// How long a process may take until its devices are ready.
  private static let startPatience: Duration = .seconds(60)
  /// How long a device may take to go; with the ends below less than `vfio-user ctl remove` waits.
  private static let removalPatience: Duration = .seconds(30)
  private static let limitPatience: Duration = .seconds(15)
  /// Maximum number of bytes of a report, of a process that may have been taken over already.
  private static let maxReport = 1 << 20

  /// Starts processes side by side, and waits until all of them are ready.
  ///
  /// - Parameter explain: adds the place of a plan to what its process has said.
  /// - Throws: why one of them is not; the others have ended then.
  func begin(
    _ plans: [ProcessPlan], explain: PlanExplanation = { CommandError($1) }
  ) throws -> [ReadyDevice] {
    var pipes: [Int32] = []
    do {
      for plan in plans { pipes.append(try startReporting(plan)) }
      let deadline = Deadline.after(Self.startPatience)
      let reports = exchange(&pipes, with: []).map {
        Self.report(from: OwnedDescriptor(adopting: $0), deadline)
      }
      for (plan, report) in zip(plans, reports) {
        if let failure = report.failure { throw explain(plan, failure) }
      }
      haveBecomeReady(plans)
      return zip(plans, reports).flatMap { Self.ready($0, $1) }
    } catch {
      for pipe in pipes { _ = clinux_close(pipe) }
      plans.forEach { end($0) }
      throw error
    }
  }

  private func haveBecomeReady(_ plans: [ProcessPlan]) {
    state.update { state in
      for place in state.processes.indices where plans.contains(state.processes[place].plan) {
        state.processes[place].isReady = true
        // It has died since its report, and nothing tells the main thread any more.
        if state.processes[place].process == 0 { _ = state.processes[place].hasEnded() }
      }
    }
    // The main thread waits until the next start.
    clinux_wake_supervisor()
  }

  /// What is said of the devices of a process, which speaks for none but its own, and not to the terminal.
  private static func ready(_ plan: ProcessPlan, _ report: ReadyReport) -> [ReadyDevice] {
    plan.devices.map { device in
      let said = report.devices.first { $0.socket == device.socket }?.notice
      return ReadyDevice(
        kind: device.request.kind, socket: device.socket,
        notice: said.map { String(decoding: LogQueue.printable($0).dropLast(), as: UTF8.self) })
    }
  }

  /// What a process says until it closes the pipe.
  private static func report(
    from pipe: consuming OwnedDescriptor, _ deadline: Deadline
  ) -> ReadyReport {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while !deadline.hasPassed, bytes.count <= maxReport {
      var interest = clinux_interest(
        descriptor: pipe.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      // Sound: the structure is lent for the call; the count is that of the array.
      guard unsafe clinux_poll(&interest, 1, deadline.remaining) > 0 else { continue }
      let count = unsafe Glibc.read(pipe.number, &piece, piece.count)
      guard count > 0 else {
        return (try? JSONDecoder().decode(ReadyReport.self, from: Data(bytes)))
          ?? ReadyReport(failure: "its process has ended at its start; the log may say why")
      }
      bytes += piece[..<count]
    }
    return ReadyReport(failure: "its process is not ready after \(startPatience)")
  }

  /// Ends the process of a plan, and forgets it.
  private func end(_ plan: ProcessPlan) {
    let process = state.update { state -> Int32 in
      guard let place = state.processes.firstIndex(where: { $0.plan == plan }) else { return 0 }
      state.processes[place].willEnd()
      let process = state.processes[place].process
      // Under the lock it is still our child, so that its number is nobody else's.
      if process > 0 { kill(process, SIGTERM) }
      return process
    }
    if process > 0, !waitForEnd(of: process, Self.endPatience) {
      state.withLock { if $0.isRunning(process) { kill(process, SIGKILL) } }
      // Else the main thread waits for it, as for what others have left.
      _ = waitForEnd(of: process, Self.killPatience)
    }
    state.update { state in
      state.processes.removeAll { $0.plan == plan }
    }
  }

  private func waitForEnd(of process: Int32, _ patience: Duration) -> Bool {
    let hasEnded: Void? = state.withLock(
      when: { !$0.isRunning(process) }, before: .after(patience)
    ) { _ in }
    return hasEnded != nil
  }

  /// Adds a device, in a process of its own.
  func add(_ parameters: AddParameters) throws -> DeviceList.Device {
    let request = try catalogue.read(parameters)
    return try changing {
      let device = try catalogue.make(request)
      let present = state.withLock { $0.processes.flatMap(\.plan.devices) }
      try catalogue.check(present.map { try catalogue.make($0.request) } + [device])
      let plan = ProcessPlan.alone(
        request, socket: try AbsolutePath.of(device.command.socket.name),
        options: options.sandbox.arguments)
      _ = try begin([plan])
      logger.notice("a device was added", metadata: ["socket": "\(plan.name)"])
      return try list().first { $0.socket == plan.name }
        ?? DeviceList.Device(socket: plan.name, kind: request.kind)
    }
  }

  /// Removes a device, and its process if that has no other one.
  func remove(_ parameters: RemoveParameters) throws {
    try changing {
      let one = try process(of: parameters.socket)
      guard one.plan.isAlone else {
        throw CommandError(
          "the device on \(parameters.socket) has its process in common with \(one.plan.devices.count - 1) others of the configuration file: take it out there and start anew, or give it isolation = \"process\""
        )
      }
      do {
        if one.process > 0 {
          _ = try ask(one, "remove", JSONValue(of: parameters), for: Self.removalPatience)
        }
      } catch {
        // The guest may have taken the process over, which refuses then.
        guard parameters.force ?? false else { throw error }
        logger.error("a device process is ended that refuses it", metadata: ["reason": "\(error)"])
      }
      end(one.plan)
      logger.notice("a device was removed", metadata: ["socket": "\(parameters.socket)"])
    }
  }

  /// Changes rate limits of a device; its process has them as well when it is started again, if it serves no other device.
  func limit(_ parameters: LimitParameters) throws {
    try changing {
      let one = try process(of: parameters.socket)
      var plan = one.plan
      try plan.limit(parameters) { _ = try catalogue.make($0) }
      _ = try ask(one, "limit", JSONValue(of: parameters), for: Self.limitPatience)
      state.update { state in
        guard let place = state.processes.firstIndex(where: { $0.plan == one.plan }) else { return }
        state.processes[place].plan = plan
      }
    }
  }

  /// The process that serves the device on a socket.
  ///
  /// - Throws: ``CommandError`` that names those that there are.
  func process(of socket: String) throws -> DeviceProcess {
    let processes = state.withLock { $0.processes }
    if let one = processes.first(where: { $0.plan.devices.contains { $0.socket == socket } }) {
      return one
    }
    let names = processes.map(\.plan.name)
    throw CommandError(
      names.isEmpty
        ? "no device is on \(socket): there is none at all"
        : "no device is on \(socket), but on \(names.joined(separator: ", "))")
  }
}
