internal import VFIOUserServer
package import TestSupport

/// Makes streams of states that a reader does not refuse at once.
package enum StateForge {
  private static let headerSize = 16

  /// Where the sections of a stream lie, header included, as far as they can be found.
  static func sections(of stream: [UInt8]) -> [Range<Int>] {
    var sections: [Range<Int>] = []
    var place = headerSize
    while place + headerSize <= stream.count {
      let name = number(stream, place + 4, 2)
      let size = number(stream, place + 8, 8)
      let rest = stream.count - place - headerSize
      let whole = headerSize + min(rest, name + min(rest, size))
      sections.append(place..<place + whole)
      place += whole
    }
    return sections
  }

  /// The stream with the sizes, checksums and the count at its end that it should have.
  package static func repaired(_ stream: [UInt8]) -> [UInt8] {
    var stream = stream
    for (count, section) in sections(of: stream).enumerated() {
      let name = min(number(stream, section.lowerBound + 4, 2), section.count - headerSize)
      let content = section.lowerBound + headerSize + name
      put(UInt64(section.upperBound - content), 8, at: section.lowerBound + 8, &stream)
      let text = stream[section.lowerBound + headerSize..<content]
      if text.elementsEqual("end".utf8), section.upperBound - content == 4 {
        put(UInt64(count), 4, at: content, &stream)
      }
      let sum = CRC32C.of(stream.span.extracting(section.lowerBound + 4..<section.upperBound))
      put(UInt64(sum), 4, at: section.lowerBound, &stream)
    }
    return stream
  }

  /// The stream with a few changes, most of them to one value of a section.
  package static func changed(_ stream: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var stream = stream
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      guard let section = sections(of: stream).randomElement(using: &random), section.count > 40
      else { continue }
      let places = section.dropFirst(headerSize + 3)
      // Numbers begin with a 3.
      let numbers = places.filter { stream[$0] == 3 && $0 + 9 <= section.upperBound }
      if let place = numbers.randomElement(using: &random), random.next() % 4 != 0 {
        let old = UInt64(number(stream, place + 1, 7))
        put(value(instead: old, &random), 8, at: place + 1, &stream)
      } else if let place = places.randomElement(using: &random) {
        change(&stream, at: place, within: section, &random)
      }
    }
    return repaired(stream)
  }

  private static func change(
    _ stream: inout [UInt8], at place: Int, within section: Range<Int>, _ random: inout SplitMix64
  ) {
    switch random.next() % 8 {
    case 0: stream.removeSubrange(section)
    case 1: stream.insert(contentsOf: stream[section], at: section.lowerBound)
    case 2: stream.removeSubrange(place..<min(place + 9, section.upperBound))
    case 3: stream.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
    default: stream[place] = UInt8(truncatingIfNeeded: random.next() % 3 == 0 ? random.next() : 0)
    }
  }

  private static func value(instead old: UInt64, _ random: inout SplitMix64) -> UInt64 {
    let interesting: [UInt64] = [
      0, 1, 2, 3, old &+ 1, old &- 1, old << 1, 63, 64, 4095, 4096, 65_535, 65_536, 1 << 31,
      1 << 32 - 1, 1 << 52, 1 << 62, 1 << 63, .max, .max - 4095, random.next() % 16, random.next(),
    ]
    return interesting.randomElement(using: &random) ?? 0
  }

  private static func number(_ bytes: [UInt8], _ place: Int, _ count: Int) -> Int {
    let value = (0..<count).reduce(UInt64(0)) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
    return Int(clamping: value)
  }

  private static func put(_ value: UInt64, _ count: Int, at place: Int, _ bytes: inout [UInt8]) {
    for index in 0..<count {
      bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }
}
