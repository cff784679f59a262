import Testing

@testable import NVMeDevice

@Suite struct `Interrupt moderation` {
  private var moderation = InterruptModeration()
  private var now: UInt64 = 1_000_000_000

  /// A host that keeps `depth` commands in flight, asks for the next after `gap`, and waits to be told.
  ///
  /// Returns how many commands each interrupt told of, and how long a command waited at most.
  private mutating func run(depth: Int, gap: UInt64, commands: Int) -> ([Int], longest: UInt64) {
    var tells: [Int] = []
    var longest: UInt64 = 0
    var done = 0
    while done < commands {
      var (unsignalled, since) = (0, now)
      var asked = 0
      while true {
        if asked < depth {
          now += gap
          moderation.found(at: now)
          if unsignalled == 0 { since = now }
          (asked, unsignalled) = (asked + 1, unsignalled + 1)
        } else {
          now += 5_000
        }
        if moderation.isDue(unsignalled, since: since, at: now) { break }
      }
      moderation.signalled(unsignalled)
      tells.append(unsignalled)
      longest = max(longest, now - since)
      done += unsignalled
    }
    return (tells, longest)
  }

  @Test(arguments: [3_000, 20_000, 100_000, 300_000] as [UInt64])
  mutating func `A host with queue depth 1 hardly waits for interrupts`(gap: UInt64) {
    let start = now
    let (tells, _) = run(depth: 1, gap: gap, commands: 10_000)
    #expect(tells.allSatisfy { $0 == 1 })
    #expect(now - start < 10_000 * gap * 102 / 100 + 1_000_000)
  }

  @Test(arguments: [(2, 2), (4, 4), (8, 8), (16, 16), (32, 16)])
  mutating func `A host with a deep queue gets one interrupt for many completions`(
    depth: Int, most: Int
  ) {
    let (tells, longest) = run(depth: depth, gap: 20_000, commands: 20_000)
    #expect(tells.max() == most)
    #expect(tells.count < 20_000 / most * 5 / 4)
    #expect(longest <= InterruptModeration.longest + 20_000)
  }

  @Test mutating func `A host that returns to queue depth 1 gets its interrupts at once again`() {
    _ = run(depth: 32, gap: 20_000, commands: 5_000)
    #expect(moderation.goal == InterruptModeration.most)
    _ = run(depth: 1, gap: 20_000, commands: 2)
    #expect(moderation.goal == 1)
  }

  @Test func `No completion waits for its interrupt longer than the bound`() {
    var moderation = InterruptModeration()
    for _ in 0..<1000 { moderation.signalled(moderation.goal) }
    #expect(moderation.goal == InterruptModeration.most)
    moderation.found(at: 10_000_000)
    #expect(!moderation.isDue(1, since: 9_000_001, at: 10_000_000))
    #expect(moderation.isDue(1, since: 9_000_000, at: 10_000_000))
    #expect(!moderation.isDue(InterruptModeration.most - 1, since: 10_000_000, at: 10_000_000))
    #expect(moderation.isDue(InterruptModeration.most, since: 10_000_000, at: 10_000_000))
    // The next command is not waited for longer than twice as long as it takes, within bounds.
    #expect(moderation.isDue(1, since: 10_000_000, at: 10_400_000))
  }

  @Test func `A clock that stands still or goes back does not harm interrupt moderation`() {
    var moderation = InterruptModeration()
    moderation.found(at: .max)
    moderation.found(at: 0)
    moderation.signalled(0)
    #expect(moderation.goal == 1)
    _ = moderation.isDue(0, since: .max, at: 0)
  }
}
