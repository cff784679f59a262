import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer

@testable import NVMeDevice

@Suite struct `The check of a controller's state` {
  static let limits = ControllerState.Limits(pairs: 5, queueEntries: 64, maximumPageSize: 4)

  /// The state of a controller with two queue pairs.
  private func state() throws -> ControllerState {
    let host = try TestHost()
    try host.enable()
    _ = try host.makeQueue()
    _ = host.put(.admin(.asynchronousEventRequest), &host.admin)
    // Commands are fetched in order: with this one done, the request waits for an event.
    _ = try host.run(.identify(.controller))
    try host.client.setMigrationState(.stop)
    let controller = host.device.controller
    return try #require(controller.turn.withLock { _ in controller.savedState() })
  }

  @Test func `A state as it was saved is sound`() throws {
    try state().check(Self.limits)
  }

  @Test func `A controller that was enabled wrongly, and has failed, can be moved`() throws {
    var state = try state()
    state.phase = .failed
    state.registers.status = 2
    state.registers.enabledConfiguration |= 0xF << 7
    (state.completionQueues, state.submissionQueues) = ([], [])
    state.events.requests = []
    try state.check(Self.limits)
    state.phase = .disabled
    (state.registers.status, state.registers.configuration) = (0, 0xF << 7)
    try state.check(Self.limits)
  }

  typealias Change = @Sendable (inout ControllerState) -> Void

  private static let changes: [Change] = [
    { $0.registers.enabledConfiguration |= 0xF << 7 },
    { $0.registers.enabledConfiguration |= 1 << 31 }, { $0.registers.enabledConfiguration &= ~1 },
    { $0.registers.enabledConfiguration |= 1 << 4 },
    { $0.registers.enabledConfiguration |= 1 << 11 },
    { $0.registers.configuration |= 2 }, { $0.registers.configuration &= ~1 },
    { $0.registers.attributes = 0x1000 }, { $0.registers.status &= ~1 },
    { $0.registers.status |= 2 }, { $0.registers.status |= 0b1100 },
    { $0.registers.status |= 1 << 5 }, { $0.phase = .failed },
    { $0.completionQueues[1].id = 5 }, { $0.completionQueues[1].id = 0 },
    { $0.completionQueues[1].entries = 1 }, { $0.completionQueues[1].entries = 65 },
    { $0.completionQueues[1].entries = .max }, { $0.completionQueues[1].address += 8 },
    { $0.completionQueues[1].vector = 5 }, { $0.completionQueues[1].posted = 1 << 62 },
    { $0.completionQueues[1].taken = 1 }, { $0.completionQueues[1].signalled = 1 },
    { $0.completionQueues[1].posted = 16 },
    { $0.completionQueues[1].waiting = [[1]] },
    { $0.completionQueues[1].waiting = Array(repeating: [0, 0], count: 1025) },
    { $0.completionQueues.removeFirst() }, { $0.completionQueues.removeLast() },
    { $0.completionQueues.append($0.completionQueues[1]) },
    { $0.submissionQueues[1].id = 5 }, { $0.submissionQueues[1].entries = 0 },
    { $0.submissionQueues[1].head = 16 }, { $0.submissionQueues[1].tail = 16 },
    { $0.submissionQueues[1].completionQueue = 2 }, { $0.submissionQueues[1].completionQueue = 0 },
    { $0.submissionQueues[1].address += 64 }, { $0.submissionQueues.removeFirst() },
    { $0.submissionQueues.append($0.submissionQueues[1]) },
    { $0.phase = .disabled }, { $0.shadowDoorbells = [0] }, { $0.shadowDoorbells = [0, 4] },
    { $0.features.current["3000"] = 1 }, { $0.features.current["-1"] = 1 },
    { $0.features.saved["255"] = 1 }, { $0.features.saved["01"] = 1 },
    { $0.features.current["+1"] = 1 }, { $0.features.saved["2"] = 1 },
    { $0.features.uncoalesced = [5] },
    { $0.features.hostIdentifier = [] }, { $0.features.timestampAge = .max },
    { $0.events.requests = [[1]] }, { $0.events.requests[0][0] = 6 },
    { $0.events.requests.append($0.events.requests[0]) },
    { $0.events.requests = Array(repeating: [UInt8](repeating: 0, count: 64), count: 9) },
    { $0.events.waiting = Array(repeating: 0, count: 17) },
    { $0.events.changedNamespaces = [0] }, { $0.events.changedNamespaces = [2] },
    { $0.events.changedNamespaces = [1, 1] },
    { $0.errors = [[1]] },
    { $0.errors = Array(repeating: [UInt8](repeating: 0, count: 64), count: 65) },
  ]

  @Test func `A state with one thing changed is refused`() throws {
    let sound = try state()
    for (number, change) in Self.changes.enumerated() {
      var changed = sound
      change(&changed)
      #expect(throws: StateError.self, "change \(number)") { try changed.check(Self.limits) }
    }
  }
}
