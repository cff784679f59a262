internal import VFIOUserProtocol

/// Finds the messages in the bytes of one direction of a socket.
///
/// It is fed with what was forwarded already, in any pieces, and never refuses anything: bytes in
/// which no message can be found come out as they are.
package struct FrameSplitter: Sendable {
  /// Larger sizes in a header mean that the stream is out of step: the largest transfer that any peer
  /// accepts, and room for the fixed part of any command.
  package static let largestMessage = Int(Limits.maxDataTransfer) + (1 << 20)

  /// What was found.
  package struct Part: Equatable, Sendable {
    package var bytes: [UInt8]
    package var descriptors: [DescriptorNote]
    package var defect: StreamDefect?
  }

  private var pending: [UInt8] = []
  private var descriptors: [DescriptorNote] = []
  private var isOutOfStep = false

  package init() {}

  /// Takes bytes; descriptors belong to the message of the first byte.
  package mutating func take(_ bytes: [UInt8], _ more: [DescriptorNote]) -> [Part] {
    descriptors += more
    guard !isOutOfStep else { return [part(bytes, .outOfStep)] }
    // Most pieces are exactly one message.
    if pending.isEmpty, Self.size(in: bytes[...]) == bytes.count { return [part(bytes, nil)] }
    pending += bytes
    var parts: [Part] = []
    var start = 0
    while pending.count - start >= Header.wireSize {
      guard let size = Self.size(in: pending[start...]) else {
        isOutOfStep = true
        parts.append(part(Array(pending[start...]), .outOfStep))
        start = pending.count
        break
      }
      guard pending.count - start >= size else { break }
      parts.append(part(Array(pending[start..<start + size]), nil))
      start += size
    }
    pending.removeFirst(start)
    return parts
  }

  /// The stream has ended: what is left is no message.
  package mutating func finish() -> Part? {
    guard !pending.isEmpty else { return nil }
    defer { pending = [] }
    return part(pending, .cut)
  }

  private mutating func part(_ bytes: [UInt8], _ defect: StreamDefect?) -> Part {
    defer { descriptors = [] }
    return Part(bytes: bytes, descriptors: descriptors, defect: defect)
  }

  /// The size in a header; nil if no message can have it.
  private static func size(in bytes: ArraySlice<UInt8>) -> Int? {
    guard let header = try? Header(decoding: bytes.span) else { return nil }
    return isPlausible(header.size) ? Int(header.size) : nil
  }

  /// Whether a message can have this size.
  package static func isPlausible(_ size: UInt32) -> Bool {
    size >= UInt32(Header.wireSize) && size <= UInt32(largestMessage)
  }
}
