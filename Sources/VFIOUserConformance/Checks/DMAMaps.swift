internal import VFIOUserProtocol

/// Addresses at which checks make windows: far from where a VMM has memory.
enum Window {
  static let address: UInt64 = 0x10_0000_0000
  static let size: UInt64 = 0x4000
}

extension Check {
  static let dmaMaps: [Check] = [
    Check(601, .dma, "A window with a descriptor is accepted", Clause.map) {
      probe throws(Verdict) in
      try probe.open().succeed(try shared(), "DMA_MAP with a descriptor")
    },
    Check(602, .dma, "A window without a descriptor is accepted", Clause.map) {
      probe throws(Verdict) in
      try probe.open().succeed(.map(Window.address, Window.size), "DMA_MAP without a descriptor")
    },
    Check(603, .dma, "A window that is only read is accepted", Clause.map) {
      probe throws(Verdict) in
      try probe.open().succeed(try shared { $0.payload.put(.u32(1), at: 4) }, "a read-only window")
    },
    Check(604, .dma, "A window that is only written is accepted", Clause.map) {
      probe throws(Verdict) in
      try probe.open().succeed(.map(Window.address, Window.size, flags: 2), "a write-only window")
    },
    Check(605, .dma, "DMA_MAP has no payload in its reply", Clause.map) { probe throws(Verdict) in
      let reply = try probe.open().succeed(.map(Window.address, Window.size))
      try require(reply.payload.isEmpty, "no payload", saw: "\(reply.payload.count) bytes")
    },
    Check(606, .dma, "A window in the middle of a file is accepted", Clause.map) {
      probe throws(Verdict) in
      let file = try memory(4 * Window.size)
      let request = Request.map(Window.address, Window.size, offset: Window.size)
      try probe.open().succeed(request.carrying([file]), "an offset of \(hex(Window.size))")
    },
    Check(607, .dma, "A window of no bytes is refused", Clause.map) { probe throws(Verdict) in
      try probe.open().refuse(.map(Window.address, 0), "a size of 0")
    },
    Check(608, .dma, "A window that passes the last address is refused", Clause.map) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.map(.max - 4095, 0x2000), "a window that wraps")
      try peer.refuse(.map(0x1000, .max), "a window of 2^64 - 1 bytes from 0x1000 on")
    },
    Check(609, .dma, "The same window twice is refused with EEXIST", Clause.map) {
      probe throws(Verdict) in
      try requireOverlapRefused(probe, Window.address, Window.size)
    },
    Check(610, .dma, "A window over the start of another is refused with EEXIST", Clause.map) {
      probe throws(Verdict) in
      try requireOverlapRefused(probe, Window.address - 0x1000, 0x2000)
    },
    Check(611, .dma, "A window over the end of another is refused with EEXIST", Clause.map) {
      probe throws(Verdict) in
      try requireOverlapRefused(probe, Window.address + Window.size - 0x1000, 0x2000)
    },
    Check(612, .dma, "A window around another is refused with EEXIST", Clause.map) {
      probe throws(Verdict) in
      try requireOverlapRefused(probe, Window.address - 0x1000, Window.size + 0x2000)
    },
    Check(613, .dma, "A window inside of another is refused with EEXIST", Clause.map) {
      probe throws(Verdict) in
      try requireOverlapRefused(probe, Window.address + 0x1000, 0x1000)
    },
    Check(614, .dma, "Windows may touch each other", Clause.map) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.succeed(.map(Window.address, Window.size))
      try peer.succeed(.map(Window.address + Window.size, Window.size), "the window behind another")
      try peer.succeed(.map(Window.address - Window.size, Window.size), "the window before another")
    },
    Check(615, .dma, "A window that was refused leaves nothing behind", Clause.map) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.succeed(.map(Window.address, 0x1000))
      _ = try peer.ask(.map(Window.address, Window.size))
      try peer.succeed(
        .map(Window.address + 0x1000, 0x1000), "a window where one was refused in part")
    },
    Check(616, .dma, "128 windows can be there at once", Clause.version) { probe throws(Verdict) in
      let peer = try probe.open()
      for number: UInt64 in 0..<128 {
        try peer.succeed(.map(Window.address + number * 0x2000, 0x1000), "window \(number + 1)")
      }
    },
    Check(617, .dma, "A window larger than its file does no harm", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(0x1000)
      _ = try peer.ask(.map(Window.address, 1 << 20).carrying([file]))
      try peer.fence("a window larger than its file")
      try probe.requireAlive(after: "a window larger than its file")
    },
    Check(618, .dma, "An offset behind the end of the file does no harm", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(0x1000)
      let request = Request.map(Window.address, 0x1000, offset: .max - 4095)
      _ = try peer.ask(request.carrying([file]))
      try peer.fence("an offset behind the end of the file")
    },
    Check(619, .dma, "A descriptor that is no memory does no harm", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let counter = try descriptor(counter())
      _ = try peer.ask(.map(Window.address, 0x1000).carrying([counter]))
      try peer.fence("an eventfd with DMA_MAP")
    },
  ]

  /// A window in a memory file, with one thing changed.
  private static func shared(
    _ change: (inout Request) -> Void = { _ in }
  ) throws(Verdict) -> Request {
    let file = try memory(Window.size)
    return Request.map(Window.address, Window.size).carrying([file]).with(change)
  }

  private static func requireOverlapRefused(
    _ probe: Probe, _ address: UInt64, _ size: UInt64
  ) throws(Verdict) {
    let peer = try probe.open()
    try peer.succeed(.map(Window.address, Window.size))
    // EEXIST
    try peer.refuse(.map(address, size), "a window over another", errno: 17)
  }
}
