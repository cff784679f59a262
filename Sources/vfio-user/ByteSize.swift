import ArgumentParser

/// A number of bytes as people write it: 4096, 4K, 1M, 10G (powers of 1024).
struct ByteSize: ExpressibleByArgument, Equatable {
  let bytes: UInt64

  init(_ bytes: UInt64) { self.bytes = bytes }

  init?(argument: String) {
    var digits = Substring(argument)
    var shift: UInt64 = 0
    if let unit = digits.last,
      let place = Array("KMGT").firstIndex(of: Character(unit.uppercased()))
    {
      shift = 10 * UInt64(place + 1)
      digits.removeLast()
    }
    guard let number = UInt64(digits), number <= UInt64.max >> shift else { return nil }
    bytes = number << shift
  }

  var defaultValueDescription: String { byteCount(bytes).replacing(" ", with: "") }
}
