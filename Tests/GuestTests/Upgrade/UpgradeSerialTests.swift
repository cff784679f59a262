import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(8))) struct `A serial port whose program is replaced` {
    static let upgrades = LoadSize.isLong ? 100 : 6

    /// Text flows in both directions all the while; the far end is not opened again.
    @Test(arguments: [
      SerialProcess.FarEnd.socket, .terminal, .standardStreams,
    ])
    func `A serial port is upgraded while text flows, and nothing is lost or doubled`(
      _ farEnd: SerialProcess.FarEnd
    ) throws {
      try withPort(Machine(), farEnd) { guest, far, port in
        let script = "cat /from-guest >&3 & receive \(Payload.size) | digest; wait"
        try guest.begin(script)
        var received: [UInt8] = []
        var pauses: [Double] = []
        let piece = Payload.size / (Self.upgrades + 1)
        for number in 0..<Self.upgrades {
          // The upgrade comes while both sides have more to say than the port can carry meanwhile.
          received += try far.exchange(
            sending: Array(Payload.toGuest[number * piece..<(number + 1) * piece]),
            receiving: piece / 2)
          pauses.append(try UpgradeRun.run(port.socket).pause.total)
        }
        received += try far.exchange(
          sending: Array(Payload.toGuest[(Self.upgrades * piece)...]),
          receiving: Payload.size - received.count)
        #expect(received == Payload.fromGuest)
        #expect(try guest.end(script) == guest.run("digest < /to-guest"))
        #expect(try guest.counters() == ["tx": Payload.size, "rx": Payload.size])
        record("\(farEnd): \(Self.upgrades) upgrades: pauses \(Spread(pauses))\n")
      }
    }

    private func withPort(
      _ machine: Machine, _ farEnd: SerialProcess.FarEnd,
      _ body: (Guest, ByteChannel, SerialProcess) throws -> Void
    ) throws {
      let port = try SerialProcess(farEnd)
      defer { port.kill() }
      let far = try port.connect()
      let guest = try Guest(machine, with: port)
      defer { guest.kill() }
      do {
        try body(guest, far, port)
      } catch {
        throw HarnessError("\(error)\n\(guest.whatItSaid)\n\(port.whatItSaid)")
      }
    }
  }
}
