import VFIOUserClient
import VFIOUserProgram

extension DeviceSummary {
  /// What the server's VERSION says: the limits for what a client sends, and what both can.
  struct Negotiated: Codable {
    /// The limits of dirty bitmaps, by which libvfio-user and QEMU extend the specification.
    struct DirtyPages: Codable {
      let pageSize: UInt64?
      let maxBitmapSize: UInt64?
    }

    /// Limit `max_msg_fds`.
    let maxMessageDescriptors: Int
    /// Limit `max_data_xfer_size`.
    let maxDataTransfer: UInt32
    /// Limit `max_dma_maps`.
    let maxDMAWindows: Int
    /// The mask `pgsizes`, as a list of sizes in bytes.
    let pageSizes: [UInt64]
    /// Whether `write_multiple` was agreed.
    let writeMultiple: Bool
    /// Whether the server has made a twin socket for its own commands.
    let twinSocket: Bool
    let dirtyPages: DirtyPages?
    /// Names of capabilities that the server left out, so that the specification's default applies.
    let defaults: [String]
    /// Names that this program does not know.
    let unknown: [String]

    init(_ version: VersionMessage) {
      let said = version.capabilities
      maxMessageDescriptors = said.effectiveMaxMessageDescriptors
      maxDataTransfer = said.effectiveMaxDataTransfer
      maxDMAWindows = said.effectiveMaxDMAWindows
      let mask = said.effectivePageSizes
      pageSizes = (0..<64).map { UInt64(1) << UInt64($0) }.filter { mask & $0 != 0 }
      writeMultiple = said.effectiveWriteMultiple
      twinSocket = said.effectiveTwinSocket.supported
      dirtyPages = said.migration.map {
        DirtyPages(pageSize: $0.pageSize, maxBitmapSize: $0.maxBitmapSize)
      }
      let isGiven = [
        ("max_msg_fds", said.maxMessageDescriptors != nil),
        ("max_data_xfer_size", said.maxDataTransfer != nil),
        ("max_dma_maps", said.maxDMAWindows != nil), ("pgsizes", said.pageSizes != nil),
        ("twin_socket", said.twinSocket != nil), ("write_multiple", said.writeMultiple != nil),
      ]
      defaults = isGiven.filter { !$0.1 }.map { $0.0 }
      unknown = said.unknownNames
    }

    /// A line or two, with the specification's names.
    var lines: [String] {
      let values = [
        ("max_msg_fds", "\(maxMessageDescriptors)"),
        ("max_data_xfer_size", byteCount(UInt64(maxDataTransfer))),
        ("max_dma_maps", "\(maxDMAWindows)"),
        ("pgsizes", pageSizes.map(byteCount).joined(separator: " ")),
        ("write_multiple", writeMultiple ? "yes" : "no"),
        ("twin_socket", twinSocket ? "yes" : "no"),
      ]
      let texts = values.map { name, value in
        "\(name) \(value)\(defaults.contains(name) ? " (default)" : "")"
      }
      var lines = ["  Negotiated: \(texts.joined(separator: ", "))"]
      if let dirtyPages {
        let parts = [
          dirtyPages.pageSize.map { "pages of \(byteCount($0))" },
          dirtyPages.maxBitmapSize.map { "at most \(byteCount($0))" },
        ].compactMap { $0 }
        lines.append("  Dirty bitmaps: \(parts.joined(separator: ", "))")
      }
      if !unknown.isEmpty {
        // A peer's words: at most so many of them, and nothing that a terminal obeys.
        let names = unknown.prefix(8).map { $0.prefix(64).debugDescription }
        lines.append(
          "  Capabilities that this program does not know: \(names.joined(separator: ", "))")
      }
      return lines
    }
  }
}
