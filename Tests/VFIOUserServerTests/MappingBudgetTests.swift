import SystemPackage
import TestSupport
import Testing

@testable import VFIOUserServer

@Suite struct `The budget for mappings` {
  @Test func `gives a device alone all of it, and not one more`() throws {
    let share = MappingBudget(.init(mappings: 4, bytes: 1 << 20)).newShare()
    let claims = try (0..<4).map { _ in try share.claim(bytes: 4096) }
    #expect(throws: Errno.noSpace) { try share.claim(bytes: 4096) }
    #expect(claims.count == 4)
  }

  @Test func `counts bytes to the last`() throws {
    let share = MappingBudget(.init(mappings: 4, bytes: 1 << 20)).newShare()
    let first = try share.claim(bytes: 1 << 19)
    #expect(throws: Errno.noMemory) { try share.claim(bytes: (1 << 19) + 1) }
    let second = try share.claim(bytes: 1 << 19)
    withExtendedLifetime((first, second)) {}
  }

  @Test func `keeps a part for each other device, whatever one takes`() throws {
    let budget = MappingBudget(.init(mappings: 100, bytes: 100 << 20))
    let shares = (0..<5).map { _ in budget.newShare() }
    var greedy: [MappingBudget.Reservation] = []
    while let claim = try? shares[0].claim(bytes: 1 << 20) { greedy.append(claim) }
    // Half of the budget is for whoever comes first, a tenth is everybody's own.
    #expect(greedy.count == 60)
    for share in shares.dropFirst() {
      let own = try (0..<10).map { _ in try share.claim(bytes: 1 << 20) }
      #expect(throws: (any Error).self) { try share.claim(bytes: 1 << 20) }
      withExtendedLifetime(own) {}
    }
  }

  @Test func `takes back what is let go, and what a device had that is gone`() throws {
    let budget = MappingBudget(.init(mappings: 8, bytes: 8 << 20))
    let share = budget.newShare()
    do {
      let other = budget.newShare()
      let claims = try (0..<6).map { _ in try share.claim(bytes: 1 << 20) }
      #expect(throws: Errno.noSpace) { try share.claim(bytes: 1) }
      withExtendedLifetime((other, claims)) {}
    }
    let claims = try (0..<8).map { _ in try share.claim(bytes: 1 << 20) }
    #expect(claims.count == 8)
  }

  @Test func `of this process leaves something for stacks and the heap`() {
    let amount = MappingBudget.Amount.ofProcess
    #expect(amount.mappings > 0 && amount.bytes > 0)
    #expect(amount.bytes <= 64 << 40)
  }
}
