import TestSupport
import Testing

extension Guests {
  /// What the kernel's own driver, 8250_pci, makes of the port.
  @Suite(.timeLimit(.minutes(5))) struct `A serial port in a guest` {
    @Test(arguments: zip(Machine.eachTwo, [64 << 10, 8 << 10, 8 << 10, 8 << 10]))
    func `A serial port is a 16550A that interrupts and carries 8 or 64 KiB each way`(
      _ machine: Machine, _ count: Int
    ) throws {
      try withGuest(machine, .socket) { guest, far in
        #expect(guest.portMessage.hasSuffix("is a 16550A"))
        let before = try guest.interrupts()
        let outgoing = try guest.send(count, to: far)
        let between = try guest.interrupts()
        let incoming = try guest.receive(count, from: far)
        let after = try guest.interrupts()
        #expect(between > before)
        #expect(after > between)
        #expect(try guest.counters() == ["tx": count, "rx": count])
        record(
          """
          \(guest.commandLine)
          \(guest.portMessage)
          interrupts: \(between - before) and \(after - between)
          from the guest \(outgoing), to the guest \(incoming)

          """)
      }
    }

    @Test(arguments: [
      (Machine(board: .pc), SerialProcess.FarEnd.standardStreams), (Machine(), .terminal),
    ])
    func `A serial port carries both directions at once`(
      _ machine: Machine, farEnd: SerialProcess.FarEnd
    ) throws {
      try withGuest(machine, farEnd) { guest, far in
        let count = 16 << 10
        let script = """
          head -c \(count) /from-guest >&3 &
          receive \(count) | digest
          wait
          """
        try guest.begin(script)
        let received = try far.exchange(
          sending: Array(Payload.toGuest.prefix(count)), receiving: count)
        #expect(received == Array(Payload.fromGuest.prefix(count)))
        #expect(try guest.end(script) == guest.run("head -c \(count) /to-guest | digest"))
        #expect(try guest.counters() == ["tx": count, "rx": count])
      }
    }
  }
}
