import Testing
import VFIOUserTransport

@Suite struct `Several counters` {
  /// The most that the shim polls without asking for memory are 64.
  @Test(arguments: [1, 64, 65, 1000])
  func `are waited for, however many there are`(count: Int) throws {
    let counters = try (0..<count).map { _ in try EventFD() }
    #expect(EventFD.wait(forAnyOf: counters, for: .zero) == [])
    counters[count - 1].signal()
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == [count - 1])
    counters[0].signal()
    let both = Set([0, count - 1]).sorted()
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == both)
  }

  @Test func `may be none, which waits for the time alone`() {
    #expect(EventFD.wait(forAnyOf: [], for: .milliseconds(1)) == [])
  }
}
