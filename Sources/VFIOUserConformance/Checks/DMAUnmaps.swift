internal import VFIOUserProtocol

extension Check {
  static let dmaUnmaps: [Check] = [
    Check(620, .dma, "A window can be removed", Clause.unmap) { probe throws(Verdict) in
      try probe.openWithWindow().succeed(.unmap(Window.address, Window.size))
    },
    Check(621, .dma, "The reply to DMA_UNMAP repeats address and size", Clause.unmap) {
      probe throws(Verdict) in
      let reply = try probe.openWithWindow().succeed(
        .unmap(Window.address, Window.size), atLeast: 24)
      try require("the address", hex(reply.long(8)), is: hex(Window.address))
      try require("the size", hex(reply.long(16)), is: hex(Window.size))
    },
    Check(622, .dma, "A window that is not there cannot be removed", Clause.unmap) {
      probe throws(Verdict) in
      try probe.openWithWindow().refuse(
        .unmap(Window.address + Window.size, Window.size), "a window that is not there")
    },
    Check(623, .dma, "A part of a window cannot be removed", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      try peer.refuse(.unmap(Window.address, 0x1000), "the first page of a window")
      try peer.refuse(
        .unmap(Window.address + 0x1000, Window.size - 0x1000), "all but the first page")
    },
    Check(624, .dma, "More than a window cannot be removed", Clause.unmap) {
      probe throws(Verdict) in
      try probe.openWithWindow().refuse(
        .unmap(Window.address, 2 * Window.size), "a window and what is behind it")
    },
    Check(625, .dma, "A window can be removed only once", Clause.unmap) { probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      try peer.succeed(.unmap(Window.address, Window.size))
      try peer.refuse(.unmap(Window.address, Window.size), "a window that was removed")
    },
    Check(626, .dma, "Where a window was removed another can be made", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      try peer.succeed(.unmap(Window.address, Window.size))
      try peer.succeed(.map(Window.address + 0x1000, 0x1000), "a window where one was removed")
    },
    Check(627, .dma, "A window that could not be removed is still there", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      _ = try peer.ask(.unmap(Window.address, 0x1000))
      try peer.succeed(.unmap(Window.address, Window.size), "the whole window")
    },
    Check(628, .dma, "Nothing is removed by a size of 0", Clause.unmap) { probe throws(Verdict) in
      try probe.openWithWindow().refuse(.unmap(Window.address, 0), "a size of 0")
    },
    Check(629, .dma, "A range that passes the last address is refused", Clause.unmap) {
      probe throws(Verdict) in
      try probe.openWithWindow().refuse(.unmap(Window.address, .max), "a range that wraps")
    },
    Check(630, .dma, "Removing one window leaves its neighbour", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      try peer.succeed(.map(Window.address + Window.size, Window.size))
      try peer.succeed(.unmap(Window.address, Window.size))
      try peer.succeed(.unmap(Window.address + Window.size, Window.size), "the neighbour")
    },
    Check(
      631, .dma, "VFIO's flag ALL removes all windows, if it is taken",
      "\(Clause.vfio), VFIO_DMA_UNMAP_FLAG_ALL"
    ) { probe throws(Verdict) in
      let peer = try probe.openWithWindow()
      try peer.succeed(.map(Window.address + Window.size, Window.size))
      let reply = try peer.ask(.unmap(0, 0, flags: 2))
      guard reply.errno == nil else {
        throw .skipped("the flag ALL is refused, as it may be: error \(reply.errno ?? 0)")
      }
      try peer.succeed(.map(Window.address, 2 * Window.size), "a window where all were removed")
    },
    Check(632, .dma, "After DMA_UNMAP the memory is not mapped any more", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(Window.size)
      try peer.succeed(.map(Window.address, Window.size).carrying([file]))
      try peer.succeed(.unmap(Window.address, Window.size))
      try require(!file.isMapped, "that nobody can write to the memory", saw: "a mapping")
    },
    Check(
      633, .dma, "The memory of a client that has gone is not mapped any more",
      Clause.disconnection
    ) { probe throws(Verdict) in
      let file = try memory(Window.size)
      try probe.open().succeed(.map(Window.address, Window.size).carrying([file]))
      try probe.open().fence("a new connection")
      try require(!file.isMapped, "that nobody can write to the memory", saw: "a mapping")
    },
    Check(634, .dma, "The windows of a client that has gone are gone", Clause.disconnection) {
      probe throws(Verdict) in
      _ = try probe.openWithWindow()
      let peer = try probe.open()
      try peer.refuse(.unmap(Window.address, Window.size), "a window of the client before")
      try peer.succeed(
        .map(Window.address, Window.size), "a window where the client before had one")
    },
    Check(635, .dma, "Windows can be made and removed many times", Clause.unmap) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(Window.size)
      for round in 1...64 {
        let map = Request.map(Window.address, Window.size).carrying([file])
        try peer.succeed(map, "DMA_MAP, round \(round)")
        try peer.succeed(.unmap(Window.address, Window.size), "DMA_UNMAP, round \(round)")
      }
    },
  ]
}

extension Probe {
  /// A client with a window at the usual place.
  fileprivate func openWithWindow() throws(Verdict) -> Peer {
    let peer = try open()
    try peer.succeed(.map(Window.address, Window.size))
    return peer
  }
}
