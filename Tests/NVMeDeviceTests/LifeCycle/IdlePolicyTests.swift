import Testing

@testable import NVMeDevice

@Suite struct `What the controller's thread does when it is idle` {
  private static let pollTime: UInt64 = 400_000
  private let idle = IdlePolicy(busyPoll: .microseconds(400))

  /// Commands are found at a time, in nanoseconds.
  private func find(at now: UInt64, canPoll: Bool = true) {
    idle.beginTurn(at: now)
    idle.foundCommands(canPoll: canPoll)
    idle.endTurn(isBusy: true)
  }

  private func idleTurns(_ count: Int) { for _ in 0..<count { idle.endTurn(isBusy: false) } }

  @Test func `Busy polling begins with a command that follows another closely, and ends`() {
    find(at: 10_000_000)
    #expect(!idle.isBusyPolling)
    find(at: 10_000_000 + Self.pollTime)
    #expect(!idle.isBusyPolling)
    find(at: 10_000_000 + 2 * Self.pollTime - 1)
    #expect(idle.isBusyPolling)
    idle.beginTurn(at: 10_000_000 + 3 * Self.pollTime - 1)
    #expect(!idle.isBusyPolling)
  }

  @Test func `Busy polling needs a host whose doorbells are in memory`() {
    find(at: 10_000_000, canPoll: false)
    find(at: 10_000_001, canPoll: false)
    #expect(!idle.isBusyPolling)
  }

  @Test func `A busy poll polls for some turns and yields from then on`() {
    find(at: 10_000_000)
    find(at: 10_000_001)
    idleTurns(IdlePolicy.patience)
    #expect(idle.step(isServing: true, mustPoll: false) == .poll)
    idleTurns(1)
    #expect(idle.step(isServing: true, mustPoll: false) == .yield)
    #expect(idle.step(isServing: false, mustPoll: false) == .sleep)
  }

  @Test func `A thread that nobody wakes naps between polls, and any other sleeps`() {
    #expect(idle.step(isServing: true, mustPoll: true) == .poll)
    idleTurns(IdlePolicy.patience + 1)
    #expect(idle.step(isServing: true, mustPoll: true) == .nap)
    #expect(idle.step(isServing: true, mustPoll: false) == .sleep)
    #expect(idle.step(isServing: false, mustPoll: true) == .sleep)
  }

  @Test func `Naps are short while a host is busy, and longer the longer it asks for nothing`() {
    find(at: 10_000_000)
    func nap(after idle: UInt64) -> UInt64 {
      self.idle.beginTurn(at: 10_000_000 + idle)
      self.idle.endTurn(isBusy: false)
      return self.idle.nap
    }
    #expect(nap(after: 0) == 20_000)
    #expect(nap(after: 9_999_999) == 20_000)
    #expect(nap(after: 10_000_000) == 50_000)
    #expect(nap(after: 999_999_999) == 50_000)
    #expect(nap(after: 1_000_000_000) == 200_000)
    #expect(nap(after: 9_999_999_999) == 200_000)
    #expect(nap(after: 10_000_000_000) == 1_000_000)
    #expect(nap(after: 3_600_000_000_000) == 1_000_000)
    find(at: 3_700_000_000_000)
    #expect(idle.nap == 20_000)
  }
}
