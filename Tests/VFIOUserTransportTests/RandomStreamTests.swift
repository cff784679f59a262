import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

/// Streams that no honest peer sends, and some that are nearly honest, cut anywhere.
///
/// What is checked is that nothing traps, that no byte is lost or invented, and that the account of
/// bytes is exact.
@Suite struct `Random and mutated streams` {
  static let seed: UInt64 = 0x5EED
  static let streams = 100_000

  @Test func `100,000 random and mutated streams are split into exact frames or refused`() throws {
    var random = SplitMix64(seed: Self.seed)
    var outcomes = (frames: 0, refused: 0, unfinished: 0)
    for _ in 0..<Self.streams {
      let stream = Self.stream(&random)
      Self.feed(stream, &random, &outcomes)
    }
    // A generator that only ever hits one outcome would test nothing.
    #expect(outcomes.frames > 10_000)
    #expect(outcomes.refused > 10_000)
    #expect(outcomes.unfinished > 10_000)
  }

  /// Random bytes, or honest messages with a few bytes changed and perhaps the end missing.
  static func stream(_ random: inout SplitMix64) -> [UInt8] {
    if random.next() % 4 == 0 { return random.bytes(Int.random(in: 0...200, using: &random)) }
    var bytes: [UInt8] = []
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let command = Command(rawValue: UInt16.random(in: 0...20, using: &random))
      let flags = MessageFlags(rawValue: UInt32.random(in: 0...1, using: &random))
      bytes += message(
        command, id: UInt16(truncatingIfNeeded: random.next()), flags: flags,
        random.bytes(Int.random(in: 0...80, using: &random)))
    }
    for _ in 0..<Int.random(in: 0...2, using: &random) {
      bytes[Int.random(in: bytes.indices, using: &random)] = UInt8(
        truncatingIfNeeded: random.next())
    }
    // A peer may die anywhere.
    if random.next() % 3 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
    return bytes
  }

  static func feed(
    _ stream: [UInt8], _ random: inout SplitMix64,
    _ outcomes: inout (frames: Int, refused: Int, unfinished: Int)
  ) {
    var assembler = FrameAssembler(messageLimit: 4096, descriptorLimit: 2)
    var position = 0
    var framed = 0
    while position < stream.count {
      let end = min(stream.count, position + Int.random(in: 1...64, using: &random))
      guard (try? assembler.append(stream.span.extracting(position..<end))) == true else { break }
      position = end
      do {
        while let frame = try assembler.next() {
          let payload = assembler.payload(of: frame)
          #expect(payload.count + Header.wireSize == Int(frame.header.size))
          let start = framed + Header.wireSize
          #expect(payload.indices.allSatisfy { payload[$0] == stream[start + $0] })
          framed += Int(frame.header.size)
          outcomes.frames += 1
          decodeEverything(payload)
        }
      } catch {
        outcomes.refused += 1
        return
      }
    }
    #expect(assembler.buffered == stream.count - framed)
    if assembler.isInsideMessage { outcomes.unfinished += 1 }
  }

  /// Each decoder gets each payload; what it says of it is its own tests' business.
  static func decodeEverything(_ payload: Span<UInt8>) {
    _ = try? VersionMessage(decoding: payload)
    _ = try? DMAMap(decoding: payload)
    _ = try? DMAUnmap(decoding: payload)
    _ = try? DeviceInfo(decoding: payload)
    _ = try? RegionInfoReply(decoding: payload)
    _ = try? RegionIOFDsRequest(decoding: payload)
    _ = try? RegionIOFDsReply(decoding: payload)
    _ = try? InterruptInfo(decoding: payload)
    _ = try? SetInterrupts(decoding: payload)
    _ = try? RegionAccess(decoding: payload).data(in: payload)
    _ = try? RegionWriteMulti(decoding: payload)
    _ = try? RegionWriteMultiReply(decoding: payload)
    _ = try? DMAAccess(decoding: payload).data(in: payload)
    _ = try? DMAWriteReply(decoding: payload)
    _ = try? DeviceFeature(decoding: payload).data(in: payload)
    _ = try? MigrationState(decoding: payload)
    _ = try? DMALoggingControl(decoding: payload)
    _ = try? DMALoggingReport(decoding: payload)
    _ = try? MigrationData(decoding: payload).data(in: payload)
  }
}
