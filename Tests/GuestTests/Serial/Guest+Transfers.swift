import TestSupport
import Testing

/// How much went through in which time.
struct Rate: CustomStringConvertible {
  let count: Int
  let time: Duration

  var description: String { "\(Int(Double(count) / (time / .seconds(1)))) bytes/s" }
}

/// Transfers of the payload's first bytes in one direction.
extension Guest {
  /// Sends from the guest and compares what arrives, byte by byte.
  func send(_ count: Int, to far: ByteChannel) throws -> Rate {
    let script = "head -c \(count) /from-guest >&3"
    var received: [UInt8] = []
    let time = try ContinuousClock().measure {
      try begin(script)
      received = try far.receive(count)
    }
    _ = try end(script)
    #expect(received == Array(Payload.fromGuest.prefix(count)))
    return Rate(count: received.count, time: time)
  }

  /// Sends to the guest and compares the digest of what arrives with that of the guest's copy.
  func receive(_ count: Int, from far: ByteChannel) throws -> Rate {
    let script = "receive \(count) | digest"
    var digest = ""
    let time = try ContinuousClock().measure {
      try begin(script)
      try far.send(Array(Payload.toGuest.prefix(count)))
      digest = try end(script)
    }
    #expect(digest == (try run("head -c \(count) /to-guest | digest")))
    return Rate(count: count, time: time)
  }
}
