import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite struct `Recordings` {
  private static let messages: [TracedMessage] = [
    traced(
      .toServer, message(.version, version("{}")), at: 1_796_049_508_921_297_635),
    traced(
      .toClient, message(.version, flags: .reply, version("")), at: 1_796_049_508_921_297_636,
      descriptors: [DescriptorNote(kind: "socket")]),
    traced(
      .toServer, message(.dmaMap, [UInt8](repeating: 7, count: 32)), at: 3,
      descriptors: [
        DescriptorNote(kind: "memfd", size: 1 << 40, inode: 12, name: "a: b"),
        DescriptorNote(kind: "eventfd"),
      ]),
    traced(.toClient, message(.dmaRead, [UInt8](repeating: 1, count: 17)), at: 4, isTwin: true),
    TracedMessage(
      instant: 5, stream: TracedStream(connection: 2, direction: .toServer), bytes: [1, 2, 3],
      defect: .outOfStep),
    TracedMessage(
      instant: 6, stream: TracedStream(connection: 2, direction: .toServer), bytes: [],
      defect: .cut),
  ]

  private func encoded(_ messages: [TracedMessage]) -> [UInt8] {
    var encoder = CaptureEncoder(description: "a test")
    return messages.reduce(encoder.start()) { $0 + encoder.encode($1) }
  }

  private func read(
    _ bytes: [UInt8]
  ) throws -> (messages: [TracedMessage], defect: CaptureDefect?) {
    var reader = try CaptureReader(bytes)
    var messages: [TracedMessage] = []
    while let message = reader.next() { messages.append(message) }
    return (messages, reader.defect)
  }

  /// The messages with the numbers of their packets.
  private func numbered(_ messages: [TracedMessage]) -> [TracedMessage] {
    messages.enumerated().map { index, message in
      var message = message
      message.number = index + 1
      return message
    }
  }

  @Test func `What was written is read again`() throws {
    let (messages, defect) = try read(encoded(Self.messages))
    #expect(messages == numbered(Self.messages))
    #expect(defect == nil)
  }

  @Test(arguments: [262_143, 262_144, 262_145, 262_144 * 2, 262_144 * 2 + 3])
  func `A message longer than a packet is read again as a whole`(size: Int) throws {
    var random = SplitMix64(seed: UInt64(size))
    let long = traced(.toServer, message(.regionWrite, random.bytes(size - 16)))
    let (messages, defect) = try read(encoded([Self.messages[0], long, Self.messages[1]]))
    #expect(messages == numbered([Self.messages[0], long, Self.messages[1]]) && defect == nil)
    #expect(messages.allSatisfy { $0.isWhole })
  }

  @Test func `A recording that is cut anywhere is read as far as it goes`() throws {
    let bytes = encoded(Self.messages)
    var whole = 0
    for length in 12..<bytes.count {
      var reader = try CaptureReader(Array(bytes[..<length]))
      var count = 0
      while reader.next() != nil { count += 1 }
      #expect(count >= whole && count <= Self.messages.count)
      whole = max(whole, count)
      if reader.defect == nil { continue }
      #expect("\(String(describing: reader.defect))".contains("cut"), "\(length)")
    }
    #expect(whole == Self.messages.count - 1)
  }

  @Test func `A file that is something else is refused`() {
    #expect(throws: CaptureDefect.noCapture) { try CaptureReader([]) }
    #expect(throws: CaptureDefect.noCapture) { try CaptureReader([UInt8](repeating: 0, count: 64)) }
    var bytes = encoded([])
    bytes.replaceSubrange(8..<12, with: bytes[8..<12].reversed())
    #expect(throws: CaptureDefect.bigEndian) { try CaptureReader(bytes) }
  }

  @Test func `Changed bytes never trap`() throws {
    let bytes = encoded(Self.messages)
    var random = SplitMix64(seed: 3)
    for _ in 0..<3000 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        changed[Int.random(in: 12..<bytes.count, using: &random)] = UInt8.random(
          in: .min ... .max, using: &random)
      }
      let (messages, _) = try read(changed)
      var checker = ConnectionChecker()
      for message in messages { _ = checker.check(message) }
    }
  }

  @Test func `A block whose lengths differ is said to be broken`() throws {
    var bytes = encoded(Self.messages)
    bytes[bytes.count - 4] ^= 4
    let (messages, defect) = try read(bytes)
    #expect(messages.count == Self.messages.count - 1)
    guard case .broken = defect else {
      Issue.record("\(String(describing: defect))")
      return
    }
  }
}
