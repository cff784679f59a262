import Testing
import LinuxPrimitives

@Suite struct `Waiting for several eventfds` {
  /// The most that the shim polls without asking for memory are 64.
  @Test(arguments: [1, 64, 65, 1000])
  func `EventCounter waits for any number of eventfds`(count: Int) throws {
    let counters = try (0..<count).map { _ in try EventFD() }
    #expect(EventFD.wait(forAnyOf: counters, for: .zero) == [])
    counters[count - 1].signal()
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == [count - 1])
    counters[0].signal()
    let both = Set([0, count - 1]).sorted()
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == both)
  }

  @Test func `EventCounter waits for the timeout if there is no eventfd`() {
    #expect(EventFD.wait(forAnyOf: [], for: .milliseconds(1)) == [])
  }
}
