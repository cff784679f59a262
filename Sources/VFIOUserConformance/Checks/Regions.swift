internal import VFIOUserProtocol

extension Check {
  static let regions: [Check] = [
    Check(401, .regions, "Each region below num_regions is described", Clause.region) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for index in 0..<(try peer.regionCount()) {
        let reply = try peer.ask(.regionInfo(index))
        let isPermitted = reply.errno == nil || index == RegionFacts.vga
        try require(isPermitted, "region \(index) is described", saw: "error \(reply.errno ?? 0)")
      }
    },
    Check(402, .regions, "A description repeats the index", Clause.region) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for index: UInt32 in 0..<8 {
        try require("the index", peer.region(index).index, is: index)
      }
    },
    Check(403, .regions, "A description's argsz is its size", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().regions() {
        let argsz = region.message.word(0)
        try require(
          Int(argsz) == region.message.payload.count,
          "region \(region.index) has argsz \(region.message.payload.count)", saw: "\(argsz)")
      }
    },
    Check(404, .regions, "A region that is not there is refused", Clause.region) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let count = try peer.succeed(.deviceInfo(), atLeast: 16).word(8)
      try peer.refuse(.regionInfo(count), "DEVICE_GET_REGION_INFO of region \(count)")
    },
    Check(405, .regions, "Region 2^32 - 1 is refused", Clause.region) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.regionInfo(.max), "DEVICE_GET_REGION_INFO of region 2^32 - 1")
    },
    Check(406, .regions, "Too small an argsz is refused, or told what is needed", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for size: UInt32 in [0, 31] {
        try requireToldOrRefused(peer, .regionInfo(7, argsz: size), "argsz \(size)", needs: 32)
      }
    },
    Check(407, .regions, "Configuration space has 256 or 4096 bytes", Clause.pciHeader) {
      probe throws(Verdict) in
      let size = try probe.open().region(RegionFacts.configuration).size
      try require(size == 256 || size == 4096, "256 or 4096", saw: "\(size)")
    },
    Check(408, .regions, "Configuration space can be read and written", Clause.pciHeader) {
      probe throws(Verdict) in
      let region = try probe.open().region(RegionFacts.configuration)
      try require(
        region.isReadable && region.isWritable, "READ and WRITE", saw: "flags \(hex(region.flags))")
    },
    Check(409, .regions, "A region without bytes cannot be mapped", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().regions() where region.size == 0 {
        try require(
          !region.isMappable, "region \(region.index) of 0 bytes without MMAP", saw: "MMAP")
      }
    },
    Check(410, .regions, "A region that can be mapped comes with a descriptor", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().mappableRegions() {
        let count = region.message.descriptors.count
        try require(count > 0, "a descriptor for region \(region.index)", saw: "none")
      }
    },
    Check(411, .regions, "No descriptor comes with a region that cannot be mapped", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().regions() where !region.isMappable {
        let count = region.message.descriptors.count
        try require(count == 0, "no descriptor for region \(region.index)", saw: "\(count)")
      }
    },
    Check(412, .regions, "Each base address register has a power of two of bytes", Clause.pciBARs) {
      probe throws(Verdict) in
      for region in try probe.open().bars() {
        try require(
          region.size.nonzeroBitCount == 1, "a power of two for region \(region.index)",
          saw: hex(region.size))
      }
    },
    Check(413, .regions, "A region with bytes can be read or written", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().regions() where region.size > 0 {
        try require(
          region.flags & 7 != 0, "READ, WRITE or MMAP for region \(region.index)",
          saw: "flags \(hex(region.flags))")
      }
    },
    Check(
      414, .regions, "The file of a mappable region is as large as the region says",
      Clause.region
    ) { probe throws(Verdict) in
      for region in try probe.open().mappableRegions() {
        let end = try region.areas().map { $0.upperBound }.max() ?? 0
        let (needed, wraps) = region.offset.addingReportingOverflow(end)
        guard !wraps, let file = region.message.descriptors.first else {
          throw fail("an offset and a descriptor for region \(region.index)", saw: "neither")
        }
        let size = file.mappableSize
        try require(
          (size ?? 0) >= needed,
          "a file of \(hex(needed)) bytes or more for region \(region.index)",
          saw: size.map(hex) ?? "a file that cannot be mapped")
      }
    },
    Check(415, .regions, "A mapping shows what REGION_READ reads", Clause.region) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.mappableRegions() where region.isReadable {
        guard let area = try region.areas().first, area.upperBound - area.lowerBound >= 16 else {
          continue
        }
        let offset = region.offset &+ area.lowerBound
        guard let file = region.message.descriptors.first,
          let mapped = file.mapped(at: offset, count: 16)
        else { throw fail("region \(region.index) can be mapped", saw: "that it cannot") }
        let read = try peer.load(region.index, area.lowerBound, 16)
        try require(mapped == read, shown(mapped), saw: shown(read))
      }
    },
    Check(416, .regions, "Parts that can be mapped begin and end at pages", Clause.sparse) {
      probe throws(Verdict) in
      for region in try probe.open().mappableRegions() {
        for area in try region.areas() {
          try require(
            (region.offset &+ area.lowerBound) % 4096 == 0, "whole pages in region \(region.index)",
            saw: "an area at \(hex(area.lowerBound)), offset \(hex(region.offset))")
        }
      }
    },
  ]
}

extension Peer {
  /// The regions that can be mapped; skips if there is none.
  func mappableRegions() throws(Verdict) -> [RegionFacts] {
    let found = try regions().filter { $0.isMappable }
    guard !found.isEmpty else { throw .skipped("the device has no region that can be mapped") }
    return found
  }
}
