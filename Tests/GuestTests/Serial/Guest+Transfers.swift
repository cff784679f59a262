import TestSupport
import Testing

/// How much went through in which time.
struct Rate: CustomStringConvertible {
  let count: Int
  let time: Duration

  var description: String { "\(Int(Double(count) / (time / .seconds(1)))) bytes/s" }
}

/// Transfers of the whole payload in one direction.
extension Guest {
  /// Sends from the guest and compares what arrives, byte by byte.
  func send(to far: ByteChannel) throws -> Rate {
    let script = "cat /from-guest >&3"
    var received: [UInt8] = []
    let time = try ContinuousClock().measure {
      try begin(script)
      received = try far.receive(Payload.size)
    }
    _ = try end(script)
    #expect(received == Payload.fromGuest)
    return Rate(count: received.count, time: time)
  }

  /// Sends to the guest and compares the digest of what arrives with that of the guest's copy.
  func receive(from far: ByteChannel) throws -> Rate {
    let script = "receive \(Payload.size) | digest"
    var digest = ""
    let time = try ContinuousClock().measure {
      try begin(script)
      try far.send(Payload.toGuest)
      digest = try end(script)
    }
    #expect(digest == (try run("digest < /to-guest")))
    return Rate(count: Payload.size, time: time)
  }
}
