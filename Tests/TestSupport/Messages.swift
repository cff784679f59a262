package import VFIOUserProtocol
package import VFIOUserTransport

/// The bytes of an encodable value.
package func bytes(of message: some WireEncodable) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: message.wireSize)
  var span = bytes.mutableSpan
  var raw = unsafe span.mutableBytes
  message.encode(into: &raw)
  return bytes
}

/// The bytes of a whole message: header and payload.
package func message(
  _ command: Command, id: UInt16 = 0, flags: MessageFlags = [], size: UInt32? = nil,
  error: UInt32 = 0, _ payload: [UInt8] = []
) -> [UInt8] {
  let header = Header(
    id: id, command: command, size: size ?? UInt32(Header.wireSize + payload.count), flags: flags,
    error: error)
  var bytes = [UInt8](repeating: 0, count: Header.wireSize)
  var span = bytes.mutableSpan
  var raw = unsafe span.mutableBytes
  header.encode(into: &raw)
  return bytes + payload
}

extension MessageSocket {
  /// Sends bytes with one sendmsg if the socket accepts them, and descriptors with the first byte.
  ///
  /// Stops when the connection is lost, or if nobody reads for ten seconds.
  package func sendAll(_ bytes: [UInt8], descriptors: borrowing DescriptorList) {
    var done = 0
    descriptors.withNumbers { numbers in
      while done < bytes.count {
        let sent = unsafe bytes.span.extracting(done...).withUnsafeBytes {
          unsafe try? trySend($0, descriptors: done == 0 ? numbers : [])
        }
        guard let sent else { return }
        done += sent
        guard sent == 0 else { continue }
        let ready = (try? wait(for: .writable, before: .after(.seconds(10)))) ?? []
        if ready.isEmpty { return }
      }
    }
  }
}

/// A random number generator with the same sequence on each run.
package struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  /// Creates a generator; the same seed gives the same numbers.
  package init(seed: UInt64) { state = seed }

  /// The next number.
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Random bytes.
  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
}

extension FrameReceiver {
  /// Waits for the next message and returns it.
  package mutating func next(
    before deadline: Deadline, during activity: StreamError.Activity
  ) throws(StreamError) -> Frame {
    while true {
      if let frame = try nextUnlessInterrupted(before: deadline, during: activity) { return frame }
    }
  }
}
