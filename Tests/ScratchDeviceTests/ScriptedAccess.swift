import TestSupport
import VFIOUserProtocol

/// Numbers of four bytes as a message has them.
func words(_ words: [UInt32]) -> [UInt8] {
  words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
}

extension ScriptedPeer {
  /// Writes to a region and waits for the answer.
  func write(_ region: RegionIndex = .bar0, at offset: UInt64, _ data: [UInt8]) throws {
    let access = RegionAccess(offset: offset, region: region, count: UInt32(data.count))
    let answer = try ask(message(.regionWrite, id: 1, bytes(of: access) + data))
    guard answer.header.command == .regionWrite, answer.errno == nil else {
      throw UnexpectedAnswer(header: answer.header)
    }
  }

  /// A register of four bytes.
  func number(at offset: UInt64) throws -> UInt32 {
    let access = RegionAccess(offset: offset, region: .bar0, count: 4)
    let answer = try ask(message(.regionRead, id: 2, bytes(of: access)))
    guard answer.header.command == .regionRead, answer.payload.count == 20 else {
      throw UnexpectedAnswer(header: answer.header)
    }
    let payload = answer.payload
    return payload.span.littleEndian(at: 16)
  }

  /// How many copies have ended; fewer than 2^32 in a test.
  func completed() throws -> UInt64 { UInt64(try number(at: Place.completed)) }
}

struct UnexpectedAnswer: Error {
  let header: Header
}
