import ArgumentParser
import VFIOUserClient

/// A region as users name it: bar0 to bar5, rom, config, vga, or its number.
struct RegionName: Equatable {
  let index: RegionIndex

  /// Parses a name.
  ///
  /// - Throws: `ValidationError` with the accepted names.
  init(text: String) throws {
    let names: [String: RegionIndex] = [
      "rom": .expansionROM, "config": .configuration, "vga": .vga,
    ]
    let name = text.lowercased()
    if let known = names[name] {
      index = known
    } else if name.hasPrefix("bar"), name.count == 4, let number = UInt32(name.dropFirst(3)),
      number < 6
    {
      index = RegionIndex(rawValue: number)
    } else if let number = UInt32(name) {
      index = RegionIndex(rawValue: number)
    } else {
      throw ValidationError(
        "'\(text)' is no region. The names are bar0 to bar5, rom, config and vga; any region can be named by its number."
      )
    }
  }

  /// The name in what is printed.
  static func text(_ index: RegionIndex) -> String {
    switch index.rawValue {
    case 0...5: "BAR \(index.rawValue)"
    case 6: "expansion ROM"
    case 7: "configuration space"
    case 8: "VGA"
    default: "region \(index.rawValue)"
    }
  }

  var text: String { Self.text(index) }
}
