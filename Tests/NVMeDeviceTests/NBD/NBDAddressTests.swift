import Testing

@testable import NVMeDevice

@Suite struct `The address of an NBD export` {
  @Test func `Names a host, a port and an export`() throws {
    let address = try NBDAddress(parsing: "nbd://[::1]:1234/a%20b")
    #expect(address.place == .tcp(host: "::1", port: 1234))
    #expect(address.export == "a b" && address.tls == nil)
    #expect(try NBDAddress(parsing: "nbd://host").place == .tcp(host: "host", port: 10809))
    #expect(try NBDAddress(parsing: "nbd:///").place == .tcp(host: "localhost", port: 10809))
  }

  @Test func `Names a socket, and how it is encrypted`() throws {
    let address = try NBDAddress(
      parsing: "nbds+unix://alice@/x?socket=/run/s&tls-psk-file=/etc/keys&tls-verify-peer=false")
    #expect(address.place == .unix(path: "/run/s") && address.export == "x")
    #expect(
      address.tls
        == .init(certificates: nil, keyFile: "/etc/keys", user: "alice", verifiesPeer: false))
    #expect(address.needs.sockets == ["/run/s"] && address.needs.files == ["/etc/keys"])
  }

  @Test func `Is the same export with another user, key or spelling`() throws {
    let addresses = [
      "nbd://HOST/x", "nbds://bob@host:10809/x?tls-psk-file=/k",
      "nbds://host/x?tls-certificates=/c",
    ]
    let names = try Set(addresses.map { try NBDAddress(parsing: $0).identity })
    #expect(names == ["nbd://host:10809/x"])
  }

  @Test func `Needs to look up names where the certificate is for one`() throws {
    #expect(try NBDAddress(parsing: "nbds://host/").needs.looksUpNames)
    #expect(try !NBDAddress(parsing: "nbd://host/").needs.looksUpNames)
    #expect(try !NBDAddress(parsing: "nbds://host/?tls-psk-file=/k").needs.looksUpNames)
    #expect(try NBDAddress(parsing: "nbds://host/").needs.ports == [10809])
  }

  @Test(arguments: [
    ("http://host/", NBDAddress.ParsingError.scheme("http://host/")),
    ("disk.img", .scheme("disk.img")),
    ("nbd://host:0/", .port(0)),
    ("nbd+unix:///", .noSocket),
    ("nbd+unix:///?socket=", .noSocket),
    ("nbd+unix:///?socket=a", .relativePath("a")),
    ("nbd://host/?socket=/a", .parameter("socket")),
    ("nbd://host/?tls-psk-file=/k", .parameter("tls-psk-file")),
    ("nbd://host/?size=5", .parameter("size")),
  ])
  func `Is refused with the reason`(text: String, error: NBDAddress.ParsingError) {
    #expect(throws: error) { try NBDAddress(parsing: text) }
  }

  @Test func `Has a path and a name that fit`() throws {
    let path = "/" + String(repeating: "p", count: 106)
    _ = try NBDAddress(parsing: "nbd+unix:///?socket=\(path)")
    #expect(throws: NBDAddress.ParsingError.longPath(108, most: 107)) {
      try NBDAddress(parsing: "nbd+unix:///?socket=\(path)p")
    }
    let name = String(repeating: "n", count: 4096)
    _ = try NBDAddress(parsing: "nbd://host/\(name)")
    #expect(throws: NBDAddress.ParsingError.longName(4097, most: 4096)) {
      try NBDAddress(parsing: "nbd://host/\(name)n")
    }
  }
}

@Suite struct `What is acknowledged and not flushed` {
  private func write(_ size: Int) throws -> NBDJournal.Change {
    .write(try PageBuffer(size: size))
  }

  @Test func `Is kept until a flush that began behind it`() throws {
    var journal = NBDJournal(limit: 1 << 20)
    var dropped = 0
    journal.add(offset: 0, count: 4096, try write(4096), isDurable: false) { _ in dropped += 1 }
    let mark = journal.last
    journal.add(offset: 0, count: 4096, try write(4096), isDurable: false) { _ in dropped += 1 }
    journal.flush(through: mark) { _ in dropped += 1 }
    #expect(
      dropped == 1 && journal.entries.count == 1 && journal.holdsChanges && journal.isComplete)
    journal.flush(through: journal.last) { _ in dropped += 1 }
    #expect(dropped == 2 && journal.entries.isEmpty && !journal.holdsChanges)
  }

  @Test func `Is incomplete when it does not fit, until the next flush`() throws {
    var journal = NBDJournal(limit: 8192)
    for _ in 0..<3 {
      journal.add(offset: 0, count: 4096, try write(4096), isDurable: false) { _ in }
    }
    #expect(journal.holdsChanges && !journal.isComplete)
    journal.add(offset: 0, count: 4096, try write(4096), isDurable: false) { _ in }
    journal.flush(through: 2) { _ in }
    #expect(!journal.isComplete)
    journal.flush(through: 3) { _ in }
    #expect(journal.isComplete && journal.entries.count == 1)
  }

  @Test func `Is nothing that a durable write needs, which is kept for the order`() throws {
    var journal = NBDJournal(limit: 1 << 20)
    journal.add(offset: 0, count: 4096, try write(4096), isDurable: true) { _ in }
    #expect(!journal.holdsChanges && journal.entries.count == 1)
    var without = NBDJournal(limit: 0)
    without.add(offset: 0, count: 4096, nil, isDurable: true) { _ in }
    #expect(!without.holdsChanges)
    without.add(offset: 0, count: 4096, nil, isDurable: false) { _ in }
    #expect(without.holdsChanges && !without.isComplete)
  }
}
