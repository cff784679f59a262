/// The entries of the Enhanced Allocation capability (PCI Express Base 3.1, section 6.23 and 7.30).
enum EnhancedAllocation {
  /// Each entry says how long it is; one that would leave the space ends the list.
  static func entries(_ space: ConfigurationBytes, at offset: Int) -> [DecodedRegister] {
    let count = Int(space.load(offset + 2, as: UInt8.self) & 0x3F)
    // A bridge has four bytes more in front of the first.
    var place = offset + (PCIHeader(space).layout == 1 ? 8 : 4)
    var found: [DecodedRegister] = []
    for number in 0..<count {
      guard let first = space.value(at: place, width: 4),
        let entry = entry(number, UInt32(truncatingIfNeeded: first), space, at: place)
      else { break }
      found.append(entry)
      place += 4 + 4 * Int(first & 7)
    }
    return found
  }

  private static func entry(
    _ number: Int, _ first: UInt32, _ space: ConfigurationBytes, at place: Int
  ) -> DecodedRegister? {
    guard let base = space.value(at: place + 4, width: 4),
      let limit = space.value(at: place + 8, width: 4)
    else { return nil }
    let fields: [BitField] = [
      .choice(
        "for", 4...7,
        (0...5).map { "BAR \($0)" } + ["bridge", "none", "ROM"] + (0...5).map { "VF BAR \($0)" }),
      .hex("properties", 8...15), .flag("Writable", 30), .flag("Enable", 31),
    ]
    return DecodedRegister(
      name: "Entry \(number)", offset: place, width: 4, value: UInt64(first),
      fields: fields.map { .init(name: $0.name, value: $0.decode(UInt64(first))) } + [
        .init(name: "base", value: .text(PCIText.hex(base & ~3, 8))),
        .init(name: "max offset", value: .text(PCIText.hex(limit | 3, 8))),
      ])
  }
}
