internal import VFIOUserProtocol

extension Check {
  static let info: [Check] = [
    Check(301, .info, "DEVICE_GET_INFO says in argsz how large the reply is", Clause.info) {
      probe throws(Verdict) in
      let reply = try probe.open().succeed(.deviceInfo(), atLeast: 16)
      try require(
        reply.word(0) >= 16 && reply.payload.count <= max(16, Int(reply.word(0))),
        "argsz of 16 or more, and no more bytes than that",
        saw: "argsz \(reply.word(0)), \(reply.payload.count) bytes")
    },
    Check(302, .info, "The device is a PCI device", Clause.info) { probe throws(Verdict) in
      let reply = try probe.open().succeed(.deviceInfo(), atLeast: 16)
      try require(
        reply.word(4) & 2 != 0, "VFIO_DEVICE_FLAGS_PCI", saw: "flags \(hex(reply.word(4)))")
    },
    Check(303, .info, "A PCI device has the regions of VFIO", "Device-Specific Regions") {
      probe throws(Verdict) in
      let count = try probe.open().succeed(.deviceInfo(), atLeast: 16).word(8)
      try require(count >= 9, "num_regions of 9 or more", saw: "\(count)")
    },
    Check(304, .info, "A PCI device has INTx, MSI and MSI-X among its types", Clause.vfio) {
      probe throws(Verdict) in
      let count = try probe.open().succeed(.deviceInfo(), atLeast: 16).word(12)
      try require(3...1024 ~= count, "num_irqs of 3 or more", saw: "\(count)")
    },
    Check(305, .info, "Too small an argsz is refused, or told what is needed", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for size: UInt32 in [0, 4, 15] {
        try requireToldOrRefused(peer, .deviceInfo(argsz: size), "argsz \(size)", needs: 16)
      }
    },
    Check(306, .info, "An argsz that is larger than needed is accepted", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for size: UInt32 in [17, 4096, .max] {
        let reply = try peer.succeed(
          .deviceInfo(argsz: size), "argsz \(size)", atLeast: 16)
        try require(
          16..<256 ~= reply.word(0), "an argsz of what is needed", saw: "\(reply.word(0))")
      }
    },
    Check(307, .info, "The same question has the same answer", Clause.info) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let first = try peer.succeed(.deviceInfo())
      let second = try peer.succeed(.deviceInfo())
      try require(
        first.payload == second.payload, shown(first.payload), saw: shown(second.payload))
    },
    Check(308, .info, "DEVICE_GET_INFO brings no descriptors", Clause.info) {
      probe throws(Verdict) in
      let count = try probe.open().succeed(.deviceInfo()).descriptors.count
      try require("the number of descriptors", count, is: 0)
    },
    Check(
      309, .info, "A device that says it can be reset can be reset", Clause.reset,
      isDestructive: true
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      try requireResettable(peer)
      let reply = try peer.succeed(.reset)
      try require(reply.payload.isEmpty, "no payload", saw: "\(reply.payload.count) bytes")
    },
    Check(310, .info, "A reset leaves the regions as they were", Clause.reset, isDestructive: true)
    { probe throws(Verdict) in
      let peer = try probe.open()
      try requireResettable(peer)
      let before = try peer.regions()
      try peer.succeed(.reset)
      let after = try peer.regions()
      try require(
        before.map(\.size) == after.map(\.size) && before.map(\.flags) == after.map(\.flags),
        "the same sizes and flags", saw: "others")
    },
    Check(311, .info, "A reset leaves the windows as they were", Clause.reset, isDestructive: true)
    { probe throws(Verdict) in
      let peer = try probe.open()
      try requireResettable(peer)
      try peer.succeed(.map(Window.address, Window.size))
      try peer.succeed(.reset)
      try peer.succeed(.unmap(Window.address, Window.size), "DMA_UNMAP of a window of before")
    },
  ]

  /// Skips unless the device says that it can be reset.
  static func requireResettable(_ peer: Peer) throws(Verdict) {
    guard try peer.succeed(.deviceInfo(), atLeast: 16).word(4) & 1 != 0 else {
      throw .skipped("the device does not say that it can be reset")
    }
  }

  /// A request whose argsz is too small for the fixed part of the reply: an error, or a reply with the size that
  /// is needed.
  static func requireToldOrRefused(
    _ peer: Peer, _ request: Request, _ what: String, needs size: UInt32
  ) throws(Verdict) {
    let reply = try peer.ask(request)
    guard reply.errno == nil else { return }
    try require(
      reply.word(0) >= size, "\(what) is refused, or answered with an argsz of \(size) or more",
      saw: "argsz \(reply.word(0))")
  }
}
