package import VFIOUserProtocol

/// A message to a server: right unless a check changes something of it.
package struct Request: Sendable {
  package var command: Command
  package var payload: [UInt8]
  package var descriptors: [HeldDescriptor] = []
  package var flags: MessageFlags = []
  /// Chosen when it is sent, unless a check has done so.
  package var id: UInt16?
  /// What the header says of the size, if it is not the truth.
  package var size: UInt32?

  package init(_ command: Command, _ payload: [UInt8] = []) {
    self.command = command
    self.payload = payload
  }

  /// The bytes on the wire.
  package func bytes(id: UInt16) -> [UInt8] {
    let header = Header(
      id: self.id ?? id, command: command,
      size: size ?? UInt32(clamping: Header.wireSize + payload.count), flags: flags)
    return header.bytes + payload
  }

  /// The same with one thing changed.
  package func with(_ change: (inout Request) -> Void) -> Request {
    var changed = self
    change(&changed)
    return changed
  }

  /// The same without a reply.
  var posted: Request { with { $0.flags.insert(.noReply) } }

  /// The same with these descriptors.
  func carrying(_ descriptors: [HeldDescriptor]) -> Request {
    with { $0.descriptors = descriptors }
  }
}

extension Request {
  static func version(
    _ json: String?, major: UInt16 = 0, minor: UInt16 = 1, isTerminated: Bool = true
  ) -> Request {
    let end: [UInt8] = json != nil && isTerminated ? [0] : []
    let text = Array((json ?? "").utf8) + end
    return Request(.version, .u16(major, minor) + text)
  }

  /// What this suite proposes.
  package static let proposal = version(
    """
    {"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,\
    "pgsizes":4096,"write_multiple":true}}
    """)

  static func deviceInfo(argsz: UInt32 = 16) -> Request {
    Request(.deviceGetInfo, .u32(argsz, 0, 0, 0))
  }
  static func regionInfo(_ index: UInt32, argsz: UInt32 = 4096) -> Request {
    Request(.deviceGetRegionInfo, .u32(argsz, 0, index, 0) + .u64(0, 0))
  }
  static func regionIOFDs(_ index: UInt32, argsz: UInt32 = 4096) -> Request {
    Request(.deviceGetRegionIOFDs, .u32(argsz, 0, index, 0))
  }
  static func irqInfo(_ index: UInt32, argsz: UInt32 = 16) -> Request {
    Request(.deviceGetIRQInfo, .u32(argsz, 0, index, 0))
  }

  /// - Parameter flags: one of `IRQSet`'s data, and one of its actions.
  static func setIRQs(
    _ flags: UInt32, _ index: UInt32, start: UInt32 = 0, count: UInt32, _ data: [UInt8] = []
  ) -> Request {
    let argsz = UInt32(20 + data.count)
    return Request(.deviceSetIRQs, .u32(argsz, flags, index, start, count) + data)
  }

  static func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> Request {
    Request(.regionRead, .u64(offset) + .u32(region, count))
  }
  static func write(
    _ region: UInt32, _ offset: UInt64, _ data: [UInt8], count: UInt32? = nil
  ) -> Request {
    let count = count ?? UInt32(data.count)
    return Request(.regionWrite, .u64(offset) + .u32(region, count) + data)
  }
  static func map(
    _ address: UInt64, _ size: UInt64, flags: UInt32 = 3, offset: UInt64 = 0
  ) -> Request {
    Request(.dmaMap, .u32(32, flags) + .u64(offset, address, size))
  }
  static func unmap(_ address: UInt64, _ size: UInt64, flags: UInt32 = 0) -> Request {
    Request(.dmaUnmap, .u32(24, flags) + .u64(address, size))
  }
  static let reset = Request(.deviceReset)

  /// - Parameter flags: the index of a feature, and `Feature`'s methods.
  static func feature(_ flags: UInt32, _ data: [UInt8] = [], argsz: UInt32 = 4096) -> Request {
    Request(.deviceFeature, .u32(argsz, flags) + data)
  }
  static func migrationRead(_ size: UInt32, argsz: UInt32? = nil) -> Request {
    Request(.migrationDataRead, .u32(argsz ?? size + 8, size))
  }
  static func migrationWrite(_ data: [UInt8], size: UInt32? = nil) -> Request {
    let size = size ?? UInt32(data.count)
    return Request(.migrationDataWrite, .u32(8 &+ size, size) + data)
  }
}

/// `VFIO_IRQ_SET_` flags and `VFIO_PCI_*_IRQ_INDEX`.
enum IRQSet {
  static let none: UInt32 = 1
  static let booleans: UInt32 = 2
  static let eventfd: UInt32 = 4
  static let mask: UInt32 = 8
  static let unmask: UInt32 = 16
  static let trigger: UInt32 = 32

  static let intx: UInt32 = 0
  static let msi: UInt32 = 1
  static let msix: UInt32 = 2
}

/// `VFIO_DEVICE_FEATURE_` methods and features.
enum Feature {
  static let get: UInt32 = 1 << 16
  static let set: UInt32 = 1 << 17
  static let probe: UInt32 = 1 << 18

  static let migration: UInt32 = 1
  static let state: UInt32 = 2
  static let loggingStart: UInt32 = 6
  static let loggingStop: UInt32 = 7
  static let loggingReport: UInt32 = 8
  /// In no version of VFIO.
  static let unknown: UInt32 = 0x7FF0
}
