import Testing

@testable import NVMeDevice

@Suite struct `The phase of a controller` {
  private var phase = ControllerPhase.enabled

  @Test mutating func `A client that leaves pauses the controller, and the next one resumes it`() {
    phase.pause()
    #expect(phase == .paused && phase.isReady && !phase.isEnabled && !phase.canPost)
    phase.resume()
    #expect(phase == .enabled)
  }

  @Test(arguments: [ControllerPhase.disabled, .failed])
  mutating func `A controller that serves no commands is neither paused nor resumed`(
    other: ControllerPhase
  ) {
    phase = other
    phase.pause()
    #expect(phase == other)
    phase.resume()
    #expect(phase == other)
  }

  @Test mutating func `Quiescing remembers the phase before it, also when its goal changes`() {
    phase.quiesce(for: .shutDown)
    phase.quiesce(for: .flushed(next: 1, isSafe: true))
    #expect(phase.goal == .flushed(next: 1, isSafe: true) && phase.stable == .enabled)
    phase.endQuiescing()
    #expect(phase == .enabled)
  }

  @Test
  mutating func `A client that leaves or returns during quiescing changes the phase behind it`() {
    phase.quiesce(for: .shutDown)
    phase.pause()
    #expect(phase.goal == .shutDown && !phase.canPost)
    phase.resume()
    #expect(phase.goal == .shutDown && phase.canPost)
    phase.pause()
    phase.endQuiescing()
    #expect(phase == .paused)
  }

  @Test mutating func `Only a shutdown lets commands that were started finish`() {
    #expect(phase.finishesCommands)
    for goal: ControllerPhase.Goal in [
      .disable, .reset(2), .leave, .flushed(next: 0, isSafe: true),
    ] {
      phase.quiesce(for: goal)
      #expect(!phase.finishesCommands, "\(goal)")
    }
    phase.quiesce(for: .shutDown)
    #expect(phase.finishesCommands && !phase.isEnabled && !phase.isReady)
  }

  @Test func `A failed controller posts nothing and finishes nothing`() {
    let failed = ControllerPhase.failed
    #expect(!failed.canPost && !failed.finishesCommands && !failed.isReady)
  }
}
