import VFIOUserProgram

extension DeviceSummary {
  /// The summary as JSON.
  func json() throws -> String { try prettyJSON(self) }

  /// The summary as text, similar to `lspci -v`.
  var text: String {
    var lines = [
      "\(className) [\(hex(classCode.value >> 8, 4))]: \(vendor):\(device) "
        + "(rev \(revision), prog-if \(hex(classCode.value & 0xFF, 2)))",
      "  Subsystem: \(subsystemVendor):\(subsystem)",
      "  vfio-user \(version)\(resettable ? ", can be reset" : "")",
    ]
    lines += regions.map { region in
      let access = "\(region.readable ? "r" : "-")\(region.writable ? "w" : "-")"
      let details = [region.kind, access, region.mappable ? "mappable" : nil].compactMap { $0 }
      return "  \(region.name): \(byteCount(region.size)) (\(details.joined(separator: ", ")))"
    }
    lines += interrupts.map { interrupt in
      let details = [
        interrupt.maskable ? "maskable" : nil, interrupt.automasked ? "automasked" : nil,
      ].compactMap { $0 }
      let suffix = details.isEmpty ? "" : " (\(details.joined(separator: ", ")))"
      return "  Interrupts: \(interrupt.name) x \(interrupt.count)\(suffix)"
    }
    lines += capabilities.map { one in
      "  Capabilities: [\(one.offset)] \(one.name)\(one.vectorTable.map { ": \($0.text)" } ?? "")"
    }
    if capabilities.isEmpty { lines.append("  Capabilities: none") }
    lines.append("  Migration: \(migration.map(\.text) ?? "the device does not answer")")
    return lines.joined(separator: "\n")
  }

  private var className: String {
    switch classCode.value >> 8 {
    case 0x0108: "Non-Volatile memory controller"
    case 0x0200: "Ethernet controller"
    case 0x0700: "Serial controller"
    default: "Class \(hex(classCode.value >> 8, 4)) device"
    }
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
