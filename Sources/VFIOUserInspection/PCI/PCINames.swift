internal import SystemPackage

/// Names of vendors, devices and classes from the file `pci.ids` that distributions ship.
///
/// The file is a list: a vendor's line begins with four hexadecimal digits, its devices follow behind a tab, their
/// subsystems behind two; classes begin with `C `. Lines that are something else are skipped.
package struct PCINames: Sendable {
  /// Where distributions keep it: Debian, Fedora, others.
  package static let usualPaths = [
    "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids",
  ]
  /// The file has 1.4 MB in 2026; what is much larger is another.
  private static let maxBytes = 16 << 20

  private let text: [UInt8]

  /// Takes the text of the file.
  package init(_ text: [UInt8]) { self.text = text }

  /// Reads the first of the files that is there; nil if none is.
  package init?(paths: [String] = Self.usualPaths) {
    for path in paths {
      if let text = Self.read(path) {
        self.text = text
        return
      }
    }
    return nil
  }

  private static func read(_ path: String) -> [UInt8]? {
    guard
      let file = try? FileDescriptor.open(
        FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
    else { return nil }
    defer { try? file.close() }
    var text: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while text.count < maxBytes {
      // Sound: the buffer is the array's own, for the length of the call.
      guard let got = try? unsafe piece.withUnsafeMutableBytes({ unsafe try file.read(into: $0) })
      else { return nil }
      guard got > 0 else { return text }
      text += piece[..<got]
    }
    return nil
  }

  /// The name of a vendor.
  package func vendor(_ vendor: UInt16) -> String? { find([Self.key(vendor)]) }

  /// The name of a device.
  package func device(_ device: UInt16, of vendor: UInt16) -> String? {
    find([Self.key(vendor), Self.key(device)])
  }

  /// The name of a subsystem of a device.
  package func subsystem(
    _ subsystem: UInt16, _ subsystemVendor: UInt16, of device: UInt16, _ vendor: UInt16
  ) -> String? {
    find([
      Self.key(vendor), Self.key(device), "\(Self.key(subsystemVendor)) \(Self.key(subsystem))",
    ])
  }

  /// The name of a class: of base class and subclass, or of the base class alone.
  package func deviceClass(base: UInt8, sub: UInt8?) -> String? {
    let base = "C \(PCIText.digits(UInt64(base), 2))"
    return find([base] + (sub.map { [PCIText.digits(UInt64($0), 2)] } ?? []))
  }

  /// The name of a programming interface of a class.
  package func programmingInterface(_ interface: UInt8, base: UInt8, sub: UInt8) -> String? {
    let numbers = [base, sub, interface].map { PCIText.digits(UInt64($0), 2) }
    return find(["C \(numbers[0])", numbers[1], numbers[2]])
  }

  private static func key(_ id: UInt16) -> String { PCIText.digits(UInt64(id), 4) }

  /// Finds the line at the end of a path: a line of depth 0, one of depth 1 below it, and so on.
  private func find(_ path: [String]) -> String? {
    let keys = path.map { Array($0.utf8) }
    var depth = 0
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let tabs = line.prefix { $0 == UInt8(ascii: "\t") }.count
      guard line.first != UInt8(ascii: "#"), tabs <= depth else { continue }
      // Back at a level above, what was looked for is not there.
      if tabs < depth { return nil }
      guard let name = Self.name(line.dropFirst(tabs), keys[depth]) else { continue }
      depth += 1
      if depth == keys.count { return name }
    }
    return nil
  }

  /// What stands behind the key and two spaces, nil if the line has another key.
  private static func name(_ line: ArraySlice<UInt8>, _ key: [UInt8]) -> String? {
    let rest = line.dropFirst(key.count)
    guard line.starts(with: key), rest.starts(with: [0x20, 0x20]) else { return nil }
    let name = rest.dropFirst(2)
    // It goes to a terminal: nothing that a terminal would obey.
    let printable = String(decoding: name, as: UTF8.self).unicodeScalars.filter {
      $0.value >= 0x20 && !(0x7F...0x9F ~= $0.value)
    }
    return printable.isEmpty ? nil : String(String.UnicodeScalarView(printable))
  }
}
