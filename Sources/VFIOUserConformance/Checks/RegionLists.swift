internal import VFIOUserProtocol

/// An entry of a region's list of capabilities.
struct RegionCapability {
  static let sparse: UInt16 = 1

  let id: UInt16
  let version: UInt16
  let offset: Int
  let next: UInt32
}

extension RegionFacts {
  /// The list of capabilities; fails if it is malformed.
  func capabilities() throws(Verdict) -> [RegionCapability] {
    guard hasCapabilities else { return [] }
    let payload = message.payload
    var found: [RegionCapability] = []
    var offset = capabilityOffset
    while offset != 0 {
      try require(
        offset >= 32 && Int(offset) + 8 <= payload.count,
        "a capability of region \(index) between 32 and \(payload.count)", saw: "\(offset)")
      let place = Int(offset)
      let capability = RegionCapability(
        id: payload.number(at: place) ?? 0, version: payload.number(at: place + 2) ?? 0,
        offset: place, next: payload.number(at: place + 4) ?? 0)
      try require(
        !found.contains { $0.offset == place }, "a list of capabilities that ends",
        saw: "one that comes back to \(offset)")
      found.append(capability)
      offset = capability.next
    }
    return found
  }

  /// The parts that can be mapped: those of the sparse capability, else all of the region.
  func areas() throws(Verdict) -> [Range<UInt64>] {
    guard isMappable else { return [] }
    guard let sparse = try capabilities().first(where: { $0.id == RegionCapability.sparse }) else {
      return [0..<size]
    }
    let count: UInt32 = message.payload.number(at: sparse.offset + 8) ?? 0
    var found: [Range<UInt64>] = []
    for number in 0..<Int(min(count, 4096)) {
      let place = sparse.offset + 16 + number * 16
      guard let start: UInt64 = message.payload.number(at: place),
        let length: UInt64 = message.payload.number(at: place + 8)
      else { throw fail("\(count) areas of region \(index)", saw: "a list cut short at \(number)") }
      let (end, wraps) = start.addingReportingOverflow(length)
      try require(
        !wraps && end <= size && length > 0,
        "areas inside the \(hex(size)) bytes of region \(index)",
        saw: "\(hex(start)) with \(hex(length)) bytes")
      found.append(start..<end)
    }
    return found
  }
}

extension Check {
  static let regionLists: [Check] = [
    Check(417, .regions, "The flag CAPS and cap_offset go together", Clause.region) {
      probe throws(Verdict) in
      for region in try probe.open().regions() {
        try require(
          region.hasCapabilities == (region.capabilityOffset != 0),
          "both or none for region \(region.index)",
          saw: "flags \(hex(region.flags)), cap_offset \(region.capabilityOffset)")
      }
    },
    Check(
      418, .regions, "A list of capabilities is inside of the reply and ends",
      Clause.capabilities
    ) { probe throws(Verdict) in
      for region in try regionsWithCapabilities(probe) { _ = try region.capabilities() }
    },
    Check(419, .regions, "The sparse capability has version 1", Clause.sparse) {
      probe throws(Verdict) in
      for (_, sparse) in try sparseRegions(probe) {
        try require("its version", sparse.version, is: 1)
      }
    },
    Check(420, .regions, "Sparse areas are inside of the region", Clause.sparse) {
      probe throws(Verdict) in
      for (region, _) in try sparseRegions(probe) {
        try require(try !region.areas().isEmpty, "an area or more", saw: "none")
      }
    },
    Check(421, .regions, "Sparse areas do not overlap", Clause.sparse) { probe throws(Verdict) in
      for (region, _) in try sparseRegions(probe) {
        let areas = try region.areas().sorted { $0.lowerBound < $1.lowerBound }
        for (one, next) in zip(areas, areas.dropFirst()) {
          try require(!one.overlaps(next), "areas apart", saw: "\(one) and \(next)")
        }
      }
    },
    Check(422, .regions, "The sparse capability comes with the flag MMAP", Clause.sparse) {
      probe throws(Verdict) in
      for (region, _) in try sparseRegions(probe) {
        try require(region.isMappable, "MMAP for region \(region.index)", saw: "none")
      }
    },
    Check(423, .regions, "Without room for capabilities argsz says what is needed", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try regionsWithCapabilities(probe, peer) {
        let reply = try peer.succeed(.regionInfo(region.index, argsz: 32), atLeast: 32)
        try require("argsz", reply.word(0), is: region.message.word(0))
        try require(
          reply.payload.count == 32, "32 bytes, as many as there is room for",
          saw: "\(reply.payload.count)")
      }
    },
    Check(424, .regions, "With just enough room all of it is there", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.regions() {
        let needed = region.message.word(0)
        let reply = try peer.succeed(.regionInfo(region.index, argsz: needed))
        try require(
          reply.payload == region.message.payload, "the same as with more room",
          saw: "\(reply.payload.count) of \(needed) bytes")
      }
    },
    Check(425, .regions, "Descriptors for I/O are described as they are sent", Clause.ioFDs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      var answers = 0
      for region in try peer.regions() {
        let reply = try peer.ask(.regionIOFDs(region.index))
        guard reply.errno == nil else { continue }
        answers += 1
        try requireSubRegions(reply, of: region)
      }
      if answers == 0 { throw .skipped("the server refuses DEVICE_GET_REGION_IO_FDS") }
    },
    Check(
      426, .regions, "Descriptors for I/O of a region that is not there are refused",
      Clause.ioFDs
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.regionIOFDs(.max), "DEVICE_GET_REGION_IO_FDS of region 2^32 - 1")
    },
    Check(
      427, .regions, "Without room for descriptors for I/O argsz says what is needed",
      Clause.argsz
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      for region in try peer.regions() {
        let whole = try peer.ask(.regionIOFDs(region.index))
        guard whole.errno == nil, whole.word(12) > 0 else { continue }
        let reply = try peer.succeed(.regionIOFDs(region.index, argsz: 16), atLeast: 16)
        try require("argsz", reply.word(0), is: whole.word(0))
        return
      }
      throw .skipped("no region has descriptors for I/O")
    },
  ]

  private static func regionsWithCapabilities(
    _ probe: Probe, _ peer: Peer? = nil
  ) throws(Verdict) -> [RegionFacts] {
    let client = if let peer { peer } else { try probe.open() }
    let found = try client.regions().filter { $0.hasCapabilities }
    guard !found.isEmpty else { throw .skipped("no region has capabilities") }
    return found
  }

  private static func sparseRegions(
    _ probe: Probe
  ) throws(Verdict) -> [(region: RegionFacts, sparse: RegionCapability)] {
    var found: [(region: RegionFacts, sparse: RegionCapability)] = []
    for region in try probe.open().regions() {
      let list = try region.capabilities()
      let sparse = list.first { $0.id == RegionCapability.sparse }
      if let sparse { found.append((region, sparse)) }
    }
    guard !found.isEmpty else { throw .skipped("no region is sparse") }
    return found
  }

  private static func requireSubRegions(_ reply: Message, of region: RegionFacts) throws(Verdict) {
    let count = Int(min(reply.word(12), 4096))
    try require("argsz", Int(reply.word(0)), is: reply.payload.count)
    try require("flags", reply.word(4), is: 0)
    try require("index", reply.word(8), is: region.index)
    guard count > 0 else { return }
    let stride = (reply.payload.count - 16) / count
    try require(stride >= 40, "40 bytes or more for each of \(count)", saw: "\(stride)")
    for number in 0..<count {
      let place = 16 + number * stride
      let descriptor = Int(reply.word(place + 16))
      try require(
        descriptor < reply.descriptors.count, "fd_index below \(reply.descriptors.count)",
        saw: "\(descriptor)")
      try require(reply.word(place + 20) <= 1, "type 0 or 1", saw: "\(reply.word(place + 20))")
      let (end, wraps) = reply.long(place).addingReportingOverflow(reply.long(place + 8))
      try require(
        !wraps && end <= region.size, "a sub-region inside of \(hex(region.size)) bytes",
        saw: "\(hex(reply.long(place))) with \(hex(reply.long(place + 8))) bytes")
    }
  }
}
