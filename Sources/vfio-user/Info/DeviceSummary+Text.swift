import VFIOUserInspection
import VFIOUserProgram

extension DeviceSummary {
  /// The summary as JSON.
  func json() throws -> String { try prettyJSON(self) }

  /// The summary as text, similar to `lspci -vv`.
  var text: String { text(withRegisters: true) }

  /// The same without registers, similar to `lspci -v`.
  var overview: String { text(withRegisters: false) }

  private func text(withRegisters: Bool) -> String {
    var lines = [
      title,
      "  Subsystem: "
        + ([names?.subsystemVendor, names?.subsystem].compactMap { $0 }
        + ["\(subsystemVendor):\(subsystem)"]).joined(separator: " "),
      "  vfio-user \(version)\(resettable ? ", can be reset" : "")",
    ]
    lines += negotiated.lines
    lines += regions.flatMap(\.lines)
    lines += interrupts.filter { $0.count > 0 }.map(\.line)
    if withRegisters { lines += configuration.registers.map { "  \($0.text)" } }
    lines += capabilities.flatMap { $0.lines(withRegisters) }
    if capabilities.isEmpty { lines.append("  Capabilities: none") }
    lines += configuration.extendedCapabilities.flatMap { $0.lines(withRegisters) }
    lines += (configuration.problems + problems).map { "  Problem: \($0)" }
    lines.append("  Migration: \(migration.map(\.text) ?? "the device does not answer")")
    return lines.joined(separator: "\n")
  }

  /// Class, names and numbers, as `lspci -nn` shows them.
  var title: String {
    let numbers = "\(vendor):\(device)"
    let known = [names?.vendor, names?.device].compactMap { $0 }.joined(separator: " ")
    let interface = names?.programmingInterface.map { " [\($0)]" } ?? ""
    return "\(className) [\(hex(classCode.value >> 8, 4))]: "
      + (known.isEmpty ? numbers : "\(known) [\(numbers)]")
      + " (rev \(revision), prog-if \(hex(classCode.value & 0xFF, 2))\(interface))"
  }

  /// What else this program has for a device of its class, at a socket.
  func more(at socket: String) -> String? {
    // Mass storage, non-volatile memory, NVM Express I/O controller.
    classCode.value == 0x010802 ? "  More: vfio-user nvme identify \(socket)" : nil
  }

  private var className: String {
    if let name = names?.deviceClass { return name }
    return switch classCode.value >> 8 {
    case 0x0108: "Non-Volatile memory controller"
    case 0x0200: "Ethernet controller"
    case 0x0700: "Serial controller"
    default: "Class \(hex(classCode.value >> 8, 4)) device"
    }
  }
}

extension DeviceSummary.Region {
  fileprivate var lines: [String] {
    let access = "\(readable ? "r" : "-")\(writable ? "w" : "-")"
    let details = [
      kind, access, mappable ? "mappable" : nil, msixMappable ? "with the MSI-X table" : nil,
      type.map { "type \(hex($0[0], 1)), subtype \(hex($0[1], 1))" },
      unknownCapabilities.isEmpty ? nil : "unknown capabilities \(unknownCapabilities)",
    ].compactMap { $0 }
    let first = "  \(name): \(byteCount(size)) (\(details.joined(separator: ", ")))"
    let isWhole = areas.count == 1 && areas[0].size == size
    let parts = isWhole || areas.isEmpty ? [] : areas
    // A device may list thousands; the numbers of all are in the JSON.
    let shown = parts.prefix(32).map { area in
      "    mappable 0x\(hex(area.offset, 1)) to 0x\(hex(area.offset + area.size - min(1, area.size), 1))"
        + " (\(byteCount(area.size)))"
    }
    let rest = parts.count > 32 ? ["    and \(parts.count - 32) more areas"] : []
    return [first] + shown + rest
  }
}

extension DeviceSummary.Interrupt {
  fileprivate var line: String {
    let details = [
      maskable ? "maskable" : nil, automasked ? "automasked" : nil,
      noResize ? "all at once" : nil, eventfd ? nil : "without eventfd",
    ].compactMap { $0 }
    let suffix = details.isEmpty ? "" : " (\(details.joined(separator: ", ")))"
    return "  Interrupts: \(name) x \(count)\(suffix)"
  }
}

extension DeviceSummary.Capability {
  fileprivate func lines(_ withRegisters: Bool) -> [String] {
    let place = version.map { "[\(offset) v\($0)]" } ?? "[\(offset)]"
    let first = "  Capabilities: \(place) \(name)\(vectorTable.map { ": \($0.text)" } ?? "")"
    // The line of MSI-X says where its table is.
    let shown = !withRegisters ? [] : vectorTable == nil ? registers : Array(registers.prefix(1))
    return [first] + shown.map { "    \($0.text)" } + (problem.map { ["    Problem: \($0)"] } ?? [])
  }
}

extension DeviceSummary.Migration {
  var text: String {
    let abilities = [
      stopCopy ? "can be saved (STOP_COPY)" : nil,
      preCopy ? "in part while it runs (PRE_COPY)" : nil,
      peerToPeer ? "P2P" : nil, dmaLogging ? "log of written pages" : nil,
    ].compactMap { $0 }
    return abilities.isEmpty ? "cannot be saved" : abilities.joined(separator: ", ")
  }
}

extension DeviceSummary.VectorTable {
  var text: String {
    "\(vectors) vectors, table in BAR \(tableRegion) at 0x\(tableOffset), pending bits in BAR \(pendingRegion) at 0x\(pendingOffset)"
  }
}
