import NVMeDriver
import TestSupport
import Testing
import VFIOUserTransport

@Suite struct `A hostile guest` {
  static let cases =
    HostileQueueCases.enabling + HostileQueueCases.creating + HostilePointerCases.pages
    + HostilePointerCases.lists + HostileDoorbellCases.doorbells + HostileDoorbellCases.registers
    + HostileCommandCases.io + HostileCommandCases.admin + HostileResetCases.cases

  @Test(arguments: cases)
  func `A hostile guest gets the specified reaction, and the disk works after a reset`(
    _ one: HostileCase
  ) throws {
    let guest = try HostileGuest()
    let reaction = try one.attack(guest)
    #expect(reaction == one.expected)
    try guest.checkAndRecover()
  }

  @Test func `The table has at least sixty distinct attacks of a guest`() {
    #expect(Self.cases.count >= 60)
    #expect(Set(Self.cases.map(\.name)).count == Self.cases.count)
  }

  @Test func `A hostile guest leaves no descriptors and no mappings behind`() async {
    await #expect(processExitsWith: .success) {
      func run(_ cases: [HostileCase]) throws {
        for one in cases {
          let guest = try HostileGuest()
          _ = try one.attack(guest)
          try guest.checkAndRecover()
        }
      }
      try run(Array(Self.cases.prefix(2)))
      let before = settledDescriptors()
      try run(Self.cases)
      #expect(eventually { openDescriptors() == before })
      #expect(eventually { mappingsOfClients() == 0 })
    }
  }
}
