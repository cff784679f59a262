internal import SystemPackage
package import VFIOUserProtocol

/// Short names for what messages mention.
package enum Names {
  /// A region's name on command lines and in lines: `bar0`, `config`, `rom`, `vga`, `region9`.
  package static func region(_ region: RegionIndex) -> String {
    switch region {
    case .expansionROM: "rom"
    case .configuration: "config"
    case .vga: "vga"
    default: region.rawValue < 6 ? "bar\(region.rawValue)" : "region\(region.rawValue)"
    }
  }

  /// The region with a name or number; nil if there is none.
  package static func region(named text: String) -> RegionIndex? {
    let name = text.lowercased()
    if let number = UInt32(name) { return RegionIndex(rawValue: number) }
    if name.hasPrefix("region"), let number = UInt32(name.dropFirst(6)) {
      return RegionIndex(rawValue: number)
    }
    return (0..<RegionIndex.standardCount).lazy.map { RegionIndex(rawValue: $0) }
      .first { region($0) == name }
  }

  /// The command with a name of the specification, with or without prefix, or a number.
  package static func command(named text: String) -> Command? {
    var name = text.uppercased().replacing("-", with: "_")
    if name.hasPrefix("VFIO_USER_") { name = String(name.dropFirst(10)) }
    if let number = UInt16(name) { return Command(rawValue: number) }
    return commands.first { $0.description == name }
  }

  /// All commands of the specification.
  package static let commands = (1...18).map { Command(rawValue: $0) }

  /// `EINVAL` and the like, and what it means; the number for an unknown one.
  package static func errno(_ number: UInt32) -> String {
    errnoNames[number].map { "\($0) (\(number))" } ?? "errno \(number)"
  }

  private static let errnoNames: [UInt32: String] = [
    1: "EPERM", 2: "ENOENT", 3: "ESRCH", 4: "EINTR", 5: "EIO", 6: "ENXIO", 7: "E2BIG", 9: "EBADF",
    11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY", 17: "EEXIST",
    19: "ENODEV", 21: "EISDIR", 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 25: "ENOTTY",
    27: "EFBIG", 28: "ENOSPC", 29: "ESPIPE", 30: "EROFS", 32: "EPIPE", 33: "EDOM", 34: "ERANGE",
    35: "EDEADLK", 38: "ENOSYS", 61: "ENODATA", 62: "ETIME", 71: "EPROTO", 74: "EBADMSG",
    75: "EOVERFLOW", 84: "EILSEQ", 90: "EMSGSIZE", 92: "ENOPROTOOPT", 93: "EPROTONOSUPPORT",
    95: "EOPNOTSUPP", 104: "ECONNRESET", 105: "ENOBUFS", 110: "ETIMEDOUT", 111: "ECONNREFUSED",
    125: "ECANCELED",
  ]

  /// The registers of the configuration header that an access touches; nil for other places.
  ///
  /// PCI Local Bus Specification 3.0, 6.1 ("Configuration Space Organization", header type 0).
  package static func configurationRegisters(offset: UInt64, count: UInt32) -> String? {
    guard offset < 0x40, count > 0, count <= 4 else { return nil }
    let end = offset + UInt64(count)
    let touched = header.filter { $0.offset < end && offset < $0.offset + $0.size }
    return touched.isEmpty ? nil : touched.map(\.name).joined(separator: "+")
  }

  private static let header: [(offset: UInt64, size: UInt64, name: String)] =
    [
      (0x00, 2, "vendor ID"), (0x02, 2, "device ID"), (0x04, 2, "command"), (0x06, 2, "status"),
      (0x08, 1, "revision"), (0x09, 3, "class code"), (0x0C, 1, "cache line size"),
      (0x0D, 1, "latency timer"), (0x0E, 1, "header type"), (0x0F, 1, "BIST"),
      (0x28, 4, "CardBus CIS"), (0x2C, 2, "subsystem vendor ID"), (0x2E, 2, "subsystem ID"),
      (0x30, 4, "ROM base"), (0x34, 1, "capabilities pointer"), (0x3C, 1, "interrupt line"),
      (0x3D, 1, "interrupt pin"), (0x3E, 1, "min grant"), (0x3F, 1, "max latency"),
    ] + (0..<6).map { (0x10 + $0 * 4, 4, "BAR\($0)") }
}
