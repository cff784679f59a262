import TestSupport
import Testing
import VFIOUserServer

/// Commands that come while the server waits for room for replies, and after which nothing comes.
@Suite struct `Commands behind replies that are not read` {
  @Test(arguments: Driver.allCases, [false, true])
  func `Each command is answered though none follows, also beside one that waits`(
    _ driver: Driver, _ isBesideUnmap: Bool
  ) throws {
    let client = try ServedClient(driver)
    if isBesideUnmap {
      try client.pin()
      client.send(ServedClient.unmap(id: 1000))
    }
    // More than the socket holds. One at a time, so that the server waits behind its last message, not between two.
    let ids = 0..<150 as Range<UInt16>
    for id in ids {
      client.send(ServedClient.read(id: id, count: 4096))
      #expect(client.allIsReceived())
    }
    #expect(try client.next(ids.count) == ids.map { [UInt32($0), nil] })
    client.holder.release()
    if isBesideUnmap { #expect(try client.next(1) == [[1000, nil]]) }
  }
}
