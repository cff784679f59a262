internal import VFIOUserProtocol

extension Check {
  private static let space = RegionFacts.configuration

  static let configuration: [Check] = [
    Check(701, .io, "There is a vendor", Clause.pciHeader) { probe throws(Verdict) in
      let vendor = try probe.open().configuration(0, as: UInt16.self)
      try require(vendor != 0xFFFF, "a vendor other than 0xffff", saw: hex(vendor))
    },
    Check(702, .io, "Accesses of 1, 2, 4 and 8 bytes read the same", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let whole = try peer.load(space, 0, 64)
      for width in [1, 2, 4, 8] {
        for offset in stride(from: 0, to: 64, by: width) {
          let read = try peer.load(space, UInt64(offset), UInt32(width))
          let part = Array(whole[offset..<offset + width])
          try require("bytes \(offset) and \(width) of it", shown(read), is: shown(part))
        }
      }
    },
    Check(703, .io, "Accesses of odd widths and offsets read the same", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let whole = try peer.load(space, 0, 64)
      for (offset, width) in [(1, 2), (1, 3), (2, 4), (3, 5), (5, 7), (7, 9), (13, 33)] {
        let read = try peer.load(space, UInt64(offset), UInt32(width))
        let part = Array(whole[offset..<offset + width])
        try require("bytes \(offset) and \(width) of it", shown(read), is: shown(part))
      }
    },
    Check(704, .io, "All of configuration space can be read at once", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let size = UInt32(clamping: min(try peer.region(space).size, 4096))
      _ = try peer.load(space, 0, size)
    },
    Check(705, .io, "The reply to a read repeats offset, region and count", Clause.read) {
      probe throws(Verdict) in
      let reply = try probe.open().succeed(.read(space, 4, 4), atLeast: 16)
      try require("the offset", reply.long(0), is: 4)
      try require("the region", reply.word(8), is: space)
      try require("the count", reply.word(12), is: 4)
    },
    Check(706, .io, "The reply to a write repeats offset, region and count", Clause.write) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        let reply = try peer.succeed(InterruptLine.write(1), atLeast: 16)
        try require("the offset", reply.long(0), is: InterruptLine.offset)
        try require("the region", reply.word(8), is: space)
        try require("the count", reply.word(12), is: 1)
      }
    },
    Check(707, .io, "The reply to a write has no data", Clause.write) { probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        let reply = try peer.succeed(InterruptLine.write(2))
        try require("the size of its payload", reply.payload.count, is: 16)
      }
    },
    Check(708, .io, "The interrupt line register keeps what is written", Clause.pciLine) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        for value: UInt8 in [0x00, 0xFF, 0x5A] {
          try peer.succeed(InterruptLine.write(value))
          try require("the interrupt line", InterruptLine.read(peer), is: value)
        }
      }
    },
    Check(709, .io, "A write of one byte leaves its neighbours", Clause.pciHeader) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        let before = try peer.load(space, 0x3D, 3)
        try peer.succeed(InterruptLine.write(0xEE))
        let after = try peer.load(space, 0x3D, 3)
        try require("the bytes behind it", shown(after), is: shown(before))
      }
    },
    Check(710, .io, "Vendor and device cannot be written", Clause.pciHeader) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let before = try peer.configuration(0, as: UInt32.self)
      // A refusal is as good as a write without effect.
      _ = try peer.ask(.write(space, 0, .u32(~before)))
      try require("vendor and device", peer.configuration(0), is: before)
    },
    Check(711, .io, "The header is of type 0", Clause.pciHeader) { probe throws(Verdict) in
      let type = try probe.open().configuration(0x0E, as: UInt8.self) & 0x7F
      try require("the type of the header", type, is: 0)
    },
    Check(712, .io, "The enable bit of memory can be set and cleared", Clause.pciHeader) {
      probe throws(Verdict) in
      let peer = try probe.open()
      guard try !peer.bars().isEmpty else { throw .skipped("no base address register") }
      let before = try peer.configuration(4, as: UInt16.self)
      for bits in [before | 3, before & ~3] {
        try peer.store(space, 4, .u16(bits))
        let after = try peer.configuration(4, as: UInt16.self)
        try require(
          bits & 3 == 0 ? after & 3 == 0 : after & 3 != 0, "the bits that were written",
          saw: hex(after))
      }
      try peer.store(space, 4, .u16(before))
    },
    Check(713, .io, "Base address registers tell the sizes of their regions", Clause.pciBARs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.bars() {
        try require(
          "the size that register \(region.index) tells",
          hex(try BARProbe.size(peer, region.index)),
          is: hex(region.size))
      }
    },
    Check(714, .io, "The type bits of a base address register cannot be written", Clause.pciBARs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.bars() {
        let offset = BARProbe.offset(region.index)
        let before = try peer.configuration(offset, as: UInt32.self)
        let mask: UInt32 = before & 1 != 0 ? 3 : 15
        try peer.store(space, offset, .u32(before ^ mask))
        let after = try peer.configuration(offset, as: UInt32.self)
        try peer.store(space, offset, .u32(before))
        try require("the type of register \(region.index)", after & mask, is: before & mask)
      }
    },
    Check(715, .io, "A base address register keeps an address", Clause.pciBARs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.bars() where region.size <= 1 << 30 {
        let offset = BARProbe.offset(region.index)
        let before = try peer.configuration(offset, as: UInt32.self)
        let type = before & (before & 1 != 0 ? 3 : 15)
        let address = before & 1 != 0 ? 0xC000 : 0xC000_0000 as UInt32
        guard UInt64(address) % region.size == 0 else { continue }
        try peer.store(space, offset, .u32(address | type))
        let after = try peer.configuration(offset, as: UInt32.self)
        try peer.store(space, offset, .u32(before))
        try require("the address in register \(region.index)", hex(after), is: hex(address | type))
      }
    },
    Check(716, .io, "The list of capabilities ends and is in its place", Clause.pciCapabilities) {
      probe throws(Verdict) in
      let peer = try probe.open()
      guard try peer.configuration(6, as: UInt16.self) & 0x10 != 0 else {
        throw .skipped("the device has no list of capabilities")
      }
      var seen: Set<UInt8> = []
      var offset = try peer.configuration(0x34, as: UInt8.self)
      while offset != 0 {
        try require(
          offset >= 0x40 && offset % 4 == 0, "a capability at 0x40 or above, at a multiple of 4",
          saw: hex(offset))
        try require(
          seen.insert(offset).inserted, "a list that ends", saw: "a loop at \(hex(offset))")
        offset = try peer.configuration(UInt64(offset) + 1, as: UInt8.self)
      }
    },
    Check(
      717, .io, "The list of extended capabilities ends and is in its place",
      Clause.pcieExtended
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      guard try peer.region(space).size > 256 else { throw .skipped("256 bytes only") }
      var seen: Set<UInt32> = []
      var offset: UInt32 = 0x100
      while offset != 0 {
        try require(
          0x100...0xFFC ~= offset && offset % 4 == 0 && seen.insert(offset).inserted,
          "a list from 0x100 on that ends", saw: hex(offset))
        let header = try peer.configuration(UInt64(offset), as: UInt32.self)
        guard header != 0, header != .max else { return }
        offset = header >> 20
      }
    },
    Check(718, .io, "The MSI-X table is inside of its region", Clause.pciMSIX) {
      probe throws(Verdict) in
      try requireMSIX(probe, at: 4) { vectors in UInt64(vectors) * 16 }
    },
    Check(719, .io, "The pending bits of MSI-X are inside of their region", Clause.pciMSIX) {
      probe throws(Verdict) in
      try requireMSIX(probe, at: 8) { vectors in (UInt64(vectors) + 63) / 64 * 8 }
    },
  ]

  /// Fails unless a structure of MSI-X fits its region.
  private static func requireMSIX(
    _ probe: Probe, at place: UInt64, _ size: (UInt32) -> UInt64
  ) throws(Verdict) {
    let peer = try probe.open()
    guard let capability = try peer.capability(0x11) else { throw .skipped("no MSI-X") }
    let control = try peer.configuration(capability + 2, as: UInt16.self)
    let location = try peer.configuration(capability + place, as: UInt32.self)
    try require(location & 7 < 6, "a base address register from 0 to 5", saw: "\(location & 7)")
    let region = try peer.region(location & 7)
    let end = UInt64(location & ~7) + size(UInt32(control & 0x7FF) + 1)
    try require(
      end <= region.size, "\(hex(region.size)) bytes of region \(region.index) or less",
      saw: hex(end))
  }
}

/// The question for the size of a base address register: ones are written, and what stays zero is the size.
enum BARProbe {
  static func offset(_ index: UInt32) -> UInt64 { 0x10 + 4 * UInt64(index) }

  static func size(_ peer: Peer, _ index: UInt32) throws(Verdict) -> UInt64 {
    let low = try ones(peer, offset(index))
    if low.before & 1 != 0 {
      // I/O space: the upper half may be zero.
      return UInt64(1) << (low.answer & ~3).trailingZeroBitCount
    }
    var bits = UInt64(low.answer & ~15) | 0xFFFF_FFFF_0000_0000
    if low.before & 6 == 4 {
      bits = UInt64(low.answer & ~15) | UInt64(try ones(peer, offset(index) + 4).answer) << 32
    }
    return ~bits &+ 1
  }

  private static func ones(
    _ peer: Peer, _ offset: UInt64
  ) throws(Verdict) -> (before: UInt32, answer: UInt32) {
    let before = try peer.configuration(offset, as: UInt32.self)
    try peer.store(RegionFacts.configuration, offset, .u32(.max))
    let answer = try peer.configuration(offset, as: UInt32.self)
    try peer.store(RegionFacts.configuration, offset, .u32(before))
    return (before, answer)
  }
}
