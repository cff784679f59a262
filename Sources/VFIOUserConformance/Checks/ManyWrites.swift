internal import VFIOUserProtocol

extension Request {
  /// Writes of the interrupt line register in one message.
  fileprivate static func multi(_ values: [UInt8], count: UInt64? = nil) -> Request {
    let entries = values.flatMap { entry(InterruptLine.offset, $0) }
    return Request(.regionWriteMulti, .u64(count ?? UInt64(values.count)) + entries)
  }

  fileprivate static func entry(_ offset: UInt64, _ value: UInt8, count: UInt32 = 1) -> [UInt8] {
    .u64(offset) + .u32(RegionFacts.configuration, count) + .u64(UInt64(value))
  }
}

extension Check {
  static let manyWrites: [Check] = [
    Check(738, .io, "Several writes may be in one message", Clause.multi) { probe throws(Verdict) in
      try InterruptLine.preserved(probe.openWithMulti()) { peer throws(Verdict) in
        try peer.succeed(.multi([1, 2, 3]))
        try require("what was written last", InterruptLine.read(peer), is: 3)
      }
    },
    Check(739, .io, "The reply says how many writes were done", Clause.multi) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.openWithMulti()) { peer throws(Verdict) in
        let reply = try peer.succeed(.multi([1, 2]), atLeast: 8)
        try require("wr_cnt", reply.long(0), is: 2)
      }
    },
    Check(740, .io, "More writes than there is data for are refused", Clause.multi) {
      probe throws(Verdict) in
      let peer = try probe.openWithMulti()
      for count: UInt64 in [2, 1 << 32, .max] {
        try peer.refuse(.multi([0], count: count), "wr_cnt \(count) with one write")
      }
      try peer.fence("a wr_cnt that is too large")
    },
    Check(741, .io, "A write of more than 8 bytes in such a message is refused", Clause.multi) {
      probe throws(Verdict) in
      let peer = try probe.openWithMulti()
      let entry = Request.entry(InterruptLine.offset, 0, count: 9)
      try peer.refuse(Request(.regionWriteMulti, .u64(1) + entry), "a count of 9")
    },
    Check(742, .io, "A write outside of its region in such a message is refused", Clause.multi) {
      probe throws(Verdict) in
      let peer = try probe.openWithMulti()
      let entry = Request.entry(.max, 0)
      try peer.refuse(Request(.regionWriteMulti, .u64(1) + entry), "an offset of 2^64 - 1")
    },
    Check(743, .io, "Several writes may be posted", Clause.multi) { probe throws(Verdict) in
      try InterruptLine.preserved(probe.openWithMulti()) { peer throws(Verdict) in
        try peer.send(Request.multi([7, 8]).posted)
        try require("what was written last", InterruptLine.read(peer), is: 8)
      }
    },
  ]
}

extension Probe {
  /// A client that may send several writes in one message; skips when the server does not take them.
  fileprivate func openWithMulti() throws(Verdict) -> Peer {
    guard try negotiate().capabilities()["write_multiple"] == .boolean(true) else {
      throw .skipped("the server does not take REGION_WRITE_MULTI")
    }
    return try open()
  }
}
