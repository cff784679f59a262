import Foundation
import TestSupport
import Testing

extension Guests {
  /// One side stops in the middle.
  ///
  /// The far end is a pseudo-terminal: its buffers are small (a socket takes more than the whole
  /// payload by itself), so that the other side has to wait for real.
  @Suite(.timeLimit(.minutes(5))) struct `A serial port whose other side stops` {
    /// Seconds: longer than QEMU waits for a reply.
    private static let stop = 6
    /// What has gone through before the stop.
    private static let start = 8 << 10

    @Test func `A serial port loses nothing when the host does not read for six seconds`() throws {
      try withGuest(Machine(), .terminal) { guest, far in
        _ = try guest.run("cat /from-guest >&3 &")
        var received = try far.receive(Self.start)
        Thread.sleep(forTimeInterval: TimeInterval(Self.stop))
        let sent = try guest.counters()["tx"] ?? 0
        #expect(sent < Payload.size, "the guest did not have to wait")
        received += try far.receive(Payload.size - Self.start)
        #expect(received == Payload.fromGuest)
        _ = try guest.run("wait")
        #expect(try guest.counters() == ["tx": Payload.size, "rx": 0])
      }
    }

    /// The guest's kernel takes what comes meanwhile: by default it has room for 640 KiB.
    @Test func `A serial port loses nothing when the guest does not read for six seconds`() throws {
      try withGuest(Machine(), .terminal) { guest, far in
        let script = """
          {
            dd bs=64 count=\(Self.start / 64) iflag=fullblock <&3
            sleep \(Self.stop)
            receive \(Payload.size - Self.start)
          } 2> /dev/null | digest
          """
        try guest.begin(script)
        try far.send(Payload.toGuest)
        #expect(try guest.end(script) == guest.run("digest < /to-guest"))
        #expect(try guest.counters() == ["tx": 0, "rx": Payload.size])
      }
    }

    @Test func `A serial port keeps the host waiting while the guest has it closed`() throws {
      try withGuest(Machine(), .terminal) { guest, far in
        _ = try guest.run("close_port")
        let bytes = Array(Payload.toGuest.prefix(Payload.size / 2))
        let taken = try far.sendUntilBlocked(bytes)
        #expect(taken < bytes.count, "the host did not have to wait")
        let script = "open_port; receive \(bytes.count) | digest"
        try guest.begin(script)
        try far.send(Array(bytes[taken...]))
        #expect(try guest.end(script) == guest.run("head -c \(bytes.count) /to-guest | digest"))
      }
    }
  }
}
