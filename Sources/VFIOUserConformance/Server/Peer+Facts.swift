internal import VFIOUserProtocol

/// What a server says of a region.
struct RegionFacts {
  let index: UInt32
  let flags: UInt32
  let capabilityOffset: UInt32
  let size: UInt64
  let offset: UInt64
  let message: Message

  var isReadable: Bool { flags & 1 != 0 }
  var isWritable: Bool { flags & 2 != 0 }
  var isMappable: Bool { flags & 4 != 0 }
  var hasCapabilities: Bool { flags & 8 != 0 }

  /// Configuration space of a PCI device.
  static let configuration: UInt32 = 7
  static let rom: UInt32 = 6
  static let bars: Range<UInt32> = 0..<6
  /// VGA, which a server of a device without need not describe: the kernel's VFIO refuses it too.
  static let vga: UInt32 = 8

  init(_ message: Message) {
    self.message = message
    flags = message.word(4)
    index = message.word(8)
    capabilityOffset = message.word(12)
    size = message.long(16)
    offset = message.long(24)
  }
}

/// What a server says of an interrupt type.
struct IRQFacts {
  let index: UInt32
  let flags: UInt32
  let count: UInt32

  var takesEventfds: Bool { flags & 1 != 0 && count > 0 }
  var isMaskable: Bool { flags & 2 != 0 }
  var isAutomasked: Bool { flags & 4 != 0 }
}

extension Peer {
  /// What checks try at most, whatever a server says it has.
  static let mostRegions: UInt32 = 64

  func regionCount() throws(Verdict) -> UInt32 {
    let reply = try succeed(.deviceInfo(), atLeast: 16)
    return min(reply.word(8), Self.mostRegions)
  }

  func irqCount() throws(Verdict) -> UInt32 {
    let reply = try succeed(.deviceInfo(), atLeast: 16)
    return min(reply.word(12), Self.mostRegions)
  }

  func region(_ index: UInt32) throws(Verdict) -> RegionFacts {
    let reply = try succeed(.regionInfo(index), "DEVICE_GET_REGION_INFO of \(index)", atLeast: 32)
    return RegionFacts(reply)
  }

  /// All regions that are described.
  func regions() throws(Verdict) -> [RegionFacts] {
    var found: [RegionFacts] = []
    for index in 0..<(try regionCount()) {
      let reply = try ask(.regionInfo(index))
      guard reply.errno == nil, reply.payload.count >= 32 else { continue }
      found.append(RegionFacts(reply))
    }
    return found
  }

  /// The base address registers that exist.
  func bars() throws(Verdict) -> [RegionFacts] {
    let all = try regions()
    return all.filter { RegionFacts.bars.contains($0.index) && $0.size > 0 }
  }

  func irq(_ index: UInt32) throws(Verdict) -> IRQFacts {
    let reply = try succeed(.irqInfo(index), "DEVICE_GET_IRQ_INFO of \(index)", atLeast: 16)
    return IRQFacts(index: reply.word(8), flags: reply.word(4), count: reply.word(12))
  }

  /// An interrupt type that eventfds can be set for: MSI-X, else MSI, else INTx.
  func irqWithEventfds(atLeast count: UInt32 = 1) throws(Verdict) -> IRQFacts {
    for index in [IRQSet.msix, IRQSet.msi, IRQSet.intx] {
      let facts = try irq(index)
      if facts.takesEventfds, facts.count >= count { return facts }
    }
    throw .skipped("the device has no interrupt type with \(count) eventfds")
  }

  /// Bytes of a region.
  func load(_ region: UInt32, _ offset: UInt64, _ count: UInt32) throws(Verdict) -> [UInt8] {
    let what = "REGION_READ of \(count) bytes at \(hex(offset)) of region \(region)"
    let reply = try succeed(.read(region, offset, count), what, atLeast: 16)
    try require(
      reply.payload.count == 16 + Int(count), "\(count) bytes of data in the reply",
      saw: "\(reply.payload.count - 16)")
    return Array(reply.payload.dropFirst(16))
  }

  /// Writes bytes of a region.
  func store(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) throws(Verdict) {
    let what = "REGION_WRITE of \(data.count) bytes at \(hex(offset)) of region \(region)"
    try succeed(.write(region, offset, data), what)
  }

  /// A number in configuration space.
  func configuration<Number: FixedWidthInteger>(
    _ offset: UInt64, as type: Number.Type = Number.self
  ) throws(Verdict) -> Number {
    let size = UInt32(Number.bitWidth / 8)
    return try load(RegionFacts.configuration, offset, size).number(at: 0) ?? 0
  }

  /// The offset of a capability in configuration space, nil if there is none.
  func capability(_ id: UInt8) throws(Verdict) -> UInt64? {
    guard try configuration(6, as: UInt16.self) & 0x10 != 0 else { return nil }
    var offset = try configuration(0x34, as: UInt8.self) & 0xFC
    for _ in 0..<48 where offset >= 0x40 {
      if try configuration(UInt64(offset), as: UInt8.self) == id { return UInt64(offset) }
      offset = try configuration(UInt64(offset) + 1, as: UInt8.self) & 0xFC
    }
    return nil
  }
}

/// The interrupt line register of configuration space.
///
/// It is software's own, and without effect on the device (PCI 3.0, 6.2.4). So a check may write it on any device.
enum InterruptLine {
  static let offset: UInt64 = 0x3C

  static func write(_ value: UInt8) -> Request {
    .write(RegionFacts.configuration, offset, [value])
  }

  static func read(_ peer: Peer) throws(Verdict) -> UInt8 {
    try peer.configuration(offset)
  }

  /// Calls `body`, and puts back afterwards what was there.
  static func preserved(
    _ peer: Peer, _ body: (Peer) throws(Verdict) -> Void
  ) throws(Verdict) {
    let before = try read(peer)
    try body(peer)
    try peer.succeed(write(before), "REGION_WRITE of the interrupt line")
  }
}
