import SystemPackage
import TestSupport
import Testing

@testable import VFIOUserServer

@Suite struct `The budget for mappings` {
  @Test func `The mapping budget gives a single device all its mappings and no more`() throws {
    let share = MappingBudget(.init(mappings: 4, bytes: 1 << 20)).newShare()
    let claims = try (0..<4).map { _ in try share.claim(bytes: 4096) }
    #expect(throws: Errno.noSpace) { try share.claim(bytes: 4096) }
    #expect(claims.count == 4)
  }

  @Test func `The mapping budget counts bytes exactly`() throws {
    let share = MappingBudget(.init(mappings: 4, bytes: 1 << 20)).newShare()
    let first = try share.claim(bytes: 1 << 19)
    #expect(throws: Errno.noMemory) { try share.claim(bytes: (1 << 19) + 1) }
    let second = try share.claim(bytes: 1 << 19)
    withExtendedLifetime((first, second)) {}
  }

  @Test func `The mapping budget reserves a part for each device, whatever another one takes`()
    throws
  {
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

  @Test func `The mapping budget takes back released claims and the share of a removed device`()
    throws
  {
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

  @Test func `The mapping budget of the process leaves room for stacks and the heap`() {
    let amount = MappingBudget.Amount.ofProcess
    #expect(amount.mappings > 0 && amount.bytes > 0)
    #expect(amount.bytes <= 64 << 40)
  }
}
