import Glibc
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// How long each stress test runs; `VFIO_USER_STRESS_SECONDS` says otherwise.
private var duration: Duration { .seconds(Int(number("VFIO_USER_STRESS_SECONDS") ?? 2)) }

/// What everything random comes of: a new one for each run, which is printed; `VFIO_USER_STRESS_SEED`
/// repeats it.
private var seed: UInt64 { number("VFIO_USER_STRESS_SEED") ?? .random(in: 0 ... .max) }

private func number(_ name: String) -> UInt64? {
  guard let text = unsafe getenv(name) else { return nil }
  return UInt64(unsafe String(cString: text))
}

@Suite(.serialized) struct `Under stress` {
  @Test
  func `Every thread and task gets its own replies under stress, and the server gets its own`()
    async
  {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      try await checkUnderStress(withTwin: false)
    }
    show(result)
  }

  @Test
  func `Every caller and the server get their own replies under stress with a twin socket too`()
    async
  {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      try await checkUnderStress(withTwin: true)
    }
    show(result)
  }
}

/// Prints what a process says of its seed and of what it has done.
private func show(_ result: ExitTest.Result?) {
  let text = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
  for line in text.split(separator: "\n") where line.hasPrefix("stress: ") { print(line) }
}

private func checkUnderStress(withTwin: Bool) async throws {
  let seed = seed
  print("stress: VFIO_USER_STRESS_SEED=\(seed)")
  // Whatever a process opens once and keeps is open by then.
  try await stress(StressReport(seed: seed), withTwin, for: .milliseconds(200))
  let before = settledDescriptors()
  let report = StressReport(seed: seed)
  try await stress(report, withTwin, for: duration)
  _ = eventually { openDescriptors() == before }
  #expect(openDescriptors() == before, "\(openDescriptors()), not \(before); seed \(seed)")
  print("stress: \(report.ended) calls \(report.calls), questions \(report.asked)")
  #expect(report.hasSeenAll, "\(report.calls) \(report.asked)")
}

/// Sixteen threads and four tasks that call, a handler that answers, and a server that asks.
private func stress(
  _ report: StressReport, _ withTwin: Bool, for duration: Duration
) async throws {
  let handler = try StressHandler(report)
  var options = options(timeout: .seconds(60))
  options.handler = { handler.handle($0) }
  options.maxAccess = 2048
  let running = try RunningScript { try StressServer.run($0, report, twin: withTwin) }
  let client = try Client(running.clientEnd, options: options)
  #expect((client.supervisor.last.twin != nil) == withTwin)
  handler.use(client)
  let memory = try SharedMemory(size: 3 * StressAsker.part)
  memory.write(at: 0, from: ScriptedServer.pattern(at: 0, count: Int(StressAsker.part)))
  try await client.map(memory, at: 0, size: 3 * StressAsker.part, isShared: false)
  report.isReady.open()
  try await callFromEverywhere(client, report, for: duration)
  #expect(eventually(within: .seconds(60)) { report.unanswered == 0 })
  #expect(handler.end())
  try await checkThatNothingIsLeft(client, report)
  handler.use(nil)
  client.disconnect()
  #expect(running.join())
  #expect(report.wrong == [], "\(report.wrong), seed \(report.seed)")
}

private func callFromEverywhere(
  _ client: Client, _ report: StressReport, for duration: Duration
) async throws {
  let memory = try SharedMemory.withPattern()
  let threads = try Later {
    try? onThreads(16) { StressThread(client, $0, report, memory).run() }
  }
  await withTaskGroup(of: Void.self) { group in
    group.addTask { await report.end(after: duration) }
    for number in 100..<104 {
      group.addTask {
        var task = StressTask(client, number, report, memory)
        await task.run()
      }
    }
  }
  while !threads.isDone { try await Task.sleep(for: .milliseconds(5)) }
}

/// Every call has ended, every posted write has come, and no id is waited for.
private func checkThatNothingIsLeft(_ client: Client, _ report: StressReport) async throws {
  // Whatever was posted comes in front of this.
  #expect(try await client.deviceInfo().regionCount == 9)
  #expect(report.begun == report.ended)
  #expect(report.sent == report.seen)
  let agreement = client.supervisor.last
  // What was given up is answered late.
  for connection in [agreement.connection, agreement.twin].compactMap({ $0 }) {
    #expect(eventually(within: .seconds(60)) { connection.state.withLock { $0.isIdle } })
    let state = connection.state.withLock { $0.description }
    #expect(state == Connection.State.idle, "\(state)")
  }
  #expect(agreement.connection.state.withLock { $0.background.users } == 2)
  #expect(client.memory.count == 1)
}

extension Connection.State {
  fileprivate static let idle = "0 in flight, 0 abandoned, 0 of tasks, 0 asleep, 0 unsent"
  fileprivate var isIdle: Bool { description == Self.idle }
  fileprivate var description: String {
    "\(calls.inFlight) in flight, \(calls.abandonedCount) abandoned, \(calls.tasks.count) of tasks, "
      + "\(reader.firstAsleep == nil ? 0 : 1) asleep, \(sending.unsentCount) unsent"
  }
}
