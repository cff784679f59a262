import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(8))) struct `A serial port whose program is replaced` {
    static let upgrades = LoadSize.isLong ? 100 : 6
    /// Bytes in each direction.
    static let size = LoadSize.isLong ? Payload.size : 12 << 10

    /// Text flows in both directions all the while; the far end is not opened again.
    @Test(arguments: [
      SerialProcess.FarEnd.socket, .terminal, .standardStreams,
    ])
    func `A serial port is upgraded while text flows, and nothing is lost or doubled`(
      _ farEnd: SerialProcess.FarEnd
    ) throws {
      try withGuest(Machine(), farEnd) { guest, far, port in
        let script = "head -c \(Self.size) /from-guest >&3 & receive \(Self.size) | digest; wait"
        try guest.begin(script)
        var received: [UInt8] = []
        var pauses: [Double] = []
        let piece = Self.size / (Self.upgrades + 1)
        for number in 0..<Self.upgrades {
          // The upgrade comes while both sides have more to say than the port can carry meanwhile.
          received += try far.exchange(
            sending: Array(Payload.toGuest[number * piece..<(number + 1) * piece]),
            receiving: piece / 2)
          pauses.append(try UpgradeRun.run(port.socket).pause.total)
        }
        received += try far.exchange(
          sending: Array(Payload.toGuest[(Self.upgrades * piece)..<Self.size]),
          receiving: Self.size - received.count)
        #expect(received == Array(Payload.fromGuest.prefix(Self.size)))
        #expect(try guest.end(script) == guest.run("head -c \(Self.size) /to-guest | digest"))
        #expect(try guest.counters() == ["tx": Self.size, "rx": Self.size])
        record("\(farEnd): \(Self.upgrades) upgrades: pauses \(Spread(pauses))\n")
      }
    }
  }
}
