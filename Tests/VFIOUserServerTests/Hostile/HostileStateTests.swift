import Foundation
import FuzzHarness
import TestSupport
import Testing

/// States that are almost right, thousands of them, from those that are kept.
///
/// `STATE_ROUNDS` says how many of each device, `STATE_SEED` where they begin.
@Suite(.timeLimit(.minutes(10))) struct `A state that somebody has changed` {
  private static func number(_ name: String, _ usual: UInt64) -> UInt64 {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? usual
  }

  @Test(arguments: SavedStates.names)
  func `A device refuses a changed state, or is saved and loaded with it again`(name: String) throws
  {
    let input = try StateInput()
    let state = try SavedStates.bytes(name)
    #expect(try input.run(state, on: name))
    var random = SplitMix64(seed: Self.number("STATE_SEED", 1))
    var accepted = 0
    let rounds = Int(Self.number("STATE_ROUNDS", 150))
    for _ in 0..<rounds {
      if try input.run(StateForge.changed(state, &random), on: name) { accepted += 1 }
    }
    // Else nothing is tried but the first check.
    #expect(accepted > rounds / 50)
    #expect(accepted < rounds)
  }
}
