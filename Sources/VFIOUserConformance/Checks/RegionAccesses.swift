internal import VFIOUserProtocol

extension Check {
  private static let space = RegionFacts.configuration

  static let regionAccesses: [Check] = [
    Check(720, .io, "The last byte of configuration space can be read", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      _ = try peer.load(space, try peer.region(space).size &- 1, 1)
    },
    Check(721, .io, "A read across the end of a region is refused", Clause.read) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.read(region.index, region.size - 1, 2), "a read across the end")
      }
    },
    Check(722, .io, "A read behind the end of a region is refused", Clause.read) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.read(region.index, region.size, 1), "a read behind the end")
        try peer.refuse(.read(region.index, 1 << 63, 4), "a read at 2^63")
      }
    },
    Check(723, .io, "A read whose end passes 2^64 is refused", Clause.read) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.read(region.index, .max, 2), "a read at 2^64 - 1 of 2 bytes")
        try peer.refuse(.read(region.index, .max - 3, 4), "a read at 2^64 - 4 of 4 bytes")
      }
    },
    Check(724, .io, "A region that is not there cannot be read", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let count = try peer.succeed(.deviceInfo(), atLeast: 16).word(8)
      try peer.refuse(.read(count, 0, 4), "a read of region \(count)")
      try peer.refuse(.read(.max, 0, 4), "a read of region 2^32 - 1")
    },
    Check(725, .io, "A region without bytes cannot be read", Clause.read) { probe throws(Verdict) in
      let peer = try probe.open()
      guard let empty = try peer.regions().first(where: { $0.size == 0 }) else {
        throw .skipped("each region has bytes")
      }
      try peer.refuse(.read(empty.index, 0, 1), "a read of region \(empty.index) with 0 bytes")
    },
    Check(726, .io, "A read of no bytes has no data or is refused", Clause.read) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let reply = try peer.ask(.read(space, 0, 0))
      try require(
        reply.payload.isEmpty || reply.payload.count == 16, "no data",
        saw: "\(reply.payload.count) bytes behind the header")
      try peer.fence("a read of no bytes")
    },
    Check(727, .io, "A count of 2^32 - 1 is refused and takes no memory", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.read(space, 0, .max), "a count of 2^32 - 1")
      try peer.fence("a count of 2^32 - 1")
    },
    Check(728, .io, "A write across the end of a region is refused", Clause.write) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.write(region.index, region.size - 1, [0, 0]), "a write across the end")
      }
    },
    Check(729, .io, "A write behind the end of a region is refused", Clause.write) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.write(region.index, region.size, [0]), "a write behind the end")
      }
    },
    Check(730, .io, "A write whose end passes 2^64 is refused", Clause.write) {
      probe throws(Verdict) in
      try eachRegion(probe) { peer, region throws(Verdict) in
        try peer.refuse(.write(region.index, .max, [0, 0]), "a write at 2^64 - 1 of 2 bytes")
      }
    },
    Check(731, .io, "A region that is not there cannot be written", Clause.write) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.write(.max, 0, .u32(0)), "a write of region 2^32 - 1")
    },
    Check(732, .io, "A write with less data than its count is refused", Clause.write) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let line = InterruptLine.offset
      try peer.refuse(.write(space, line, [], count: 1), "a count of 1 without data")
      try peer.refuse(.write(space, 0, [0], count: 64), "a count of 64 with one byte")
      try peer.fence("a write with less data than its count")
    },
    Check(733, .io, "A write with more data than its count stays in step", Clause.header) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        _ = try peer.ask(.write(space, InterruptLine.offset, .u64(0, 0), count: 1))
        try peer.fence("a write with more data than its count")
      }
    },
    Check(734, .io, "A write of 32 KiB to configuration space stays in step", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let data = [UInt8](repeating: 0, count: 32 << 10)
      try peer.refuse(.write(space, 0, data), "32 KiB written to configuration space")
      try peer.fence("a write of 32 KiB")
    },
    Check(735, .io, "A write that is refused writes nothing", Clause.write) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let end = try peer.region(space).size &- 4
      let before = try peer.load(space, end, 4)
      _ = try peer.ask(.write(space, end, [UInt8](repeating: 0xFF, count: 8)))
      try require("the last bytes", shown(peer.load(space, end, 4)), is: shown(before))
    },
    Check(
      736, .io, "Reads inside of regions have as many bytes as asked, or are refused", Clause.read,
      isDestructive: true
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      let bars = try peer.bars().filter { $0.isReadable && $0.size >= 8 }
      guard !bars.isEmpty else { throw .skipped("no region of a base address register") }
      for region in bars {
        for (offset, width) in [(0, 1), (0, 4), (0, 8), (region.size - 4, 4)] as [(UInt64, UInt32)]
        {
          // A device may refuse widths that its registers do not have.
          let reply = try peer.ask(.read(region.index, offset, width))
          try require(
            reply.errno != nil || reply.payload.count == 16 + Int(width),
            "\(width) bytes of region \(region.index), or an error",
            saw: "\(reply.payload.count - 16) bytes")
        }
      }
    },
    Check(
      737, .io, "As much as the server allows can be read at once",
      "Read and Write Operations (max_data_xfer_size)", isDestructive: true
    ) { probe throws(Verdict) in
      let limit = try probe.negotiate().capabilities()["max_data_xfer_size"]?.whole ?? 1 << 20
      let peer = try probe.open()
      guard let region = try peer.bars().first(where: { $0.isReadable && $0.size >= limit }) else {
        throw .skipped("no region has \(limit) bytes")
      }
      _ = try peer.load(region.index, 0, UInt32(clamping: limit))
    },
  ]

  /// Calls `body` with each region that has bytes and is no file of its own.
  private static func eachRegion(
    _ probe: Probe, _ body: (Peer, RegionFacts) throws(Verdict) -> Void
  ) throws(Verdict) {
    let peer = try probe.open()
    for region in try peer.regions() where region.size > 0 { try body(peer, region) }
  }
}
