/// Bytes in hexadecimal, as `lspci -xxxx` and other tools write them.
package enum HexDump {
  private static let perLine = 16

  /// Lines of 16 bytes: "10: 00 f0 bf fe", with the offset of the first in front.
  ///
  /// - Parameter showsText: whether the bytes that are printable ASCII follow, as with `xxd`.
  package static func lines(
    _ bytes: [UInt8], from start: UInt64 = 0, showsText: Bool = false
  ) -> [String] {
    let last = start &+ UInt64(max(0, bytes.count - 1))
    let digits = max(2, String(last, radix: 16).count)
    return stride(from: 0, to: bytes.count, by: perLine).map { place in
      let line = bytes[place..<min(place + perLine, bytes.count)]
      let numbers = line.map { PCIText.digits(UInt64($0), 2) }.joined(separator: " ")
      let offset = PCIText.digits(start &+ UInt64(place), digits)
      guard showsText else { return "\(offset): \(numbers)" }
      let padding = String(repeating: " ", count: 3 * (perLine - line.count))
      return "\(offset): \(numbers)\(padding)  \(text(line))"
    }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(
      decoding: bytes.map { 0x20..<0x7F ~= $0 ? $0 : UInt8(ascii: ".") }, as: Unicode.ASCII.self)
  }

  /// A function's configuration space as `lspci -xxxx` shows it, so that `lspci -F FILE` reads it.
  ///
  /// `lspci` takes 64, 256 or 4096 bytes, in whole lines.
  ///
  /// - Parameter title: what stands behind the address of the function.
  package static func configurationSpace(_ space: ConfigurationBytes, title: String) -> String {
    let sizes = [ConfigurationBytes.extendedSize, ConfigurationBytes.conventionalSize, 64]
    let size = sizes.first { $0 <= space.count } ?? space.count
    let bytes = Array(space.bytes.prefix(size))
    // Two digits of the offset to 0xff and three behind it, as the tool itself writes.
    let conventional = Array(bytes.prefix(ConfigurationBytes.conventionalSize))
    let extended = Array(bytes.dropFirst(ConfigurationBytes.conventionalSize))
    let lines =
      lines(conventional) + lines(extended, from: UInt64(ConfigurationBytes.conventionalSize))
    return (["00:00.0 \(title)"] + lines).joined(separator: "\n") + "\n"
  }
}
