internal import VFIOUserProtocol

extension Check {
  static let irqs: [Check] = [
    Check(501, .irqs, "Each interrupt type below num_irqs is described", Clause.irqInfo) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for index in 0..<(try peer.irqCount()) { _ = try peer.irq(index) }
    },
    Check(502, .irqs, "A description repeats the index", Clause.irqInfo) { probe throws(Verdict) in
      let peer = try probe.open()
      for index in 0..<(try peer.irqCount()) {
        try require("the index", peer.irq(index).index, is: index)
      }
    },
    Check(503, .irqs, "A description's argsz is its size", Clause.irqInfo) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let reply = try peer.succeed(.irqInfo(0, argsz: 4096), atLeast: 16)
      try require("argsz", Int(reply.word(0)), is: reply.payload.count)
    },
    Check(504, .irqs, "An interrupt type that is not there is refused", Clause.irqInfo) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let count = try peer.succeed(.deviceInfo(), atLeast: 16).word(12)
      try peer.refuse(.irqInfo(count), "DEVICE_GET_IRQ_INFO of type \(count)")
      try peer.refuse(.irqInfo(.max), "DEVICE_GET_IRQ_INFO of type 2^32 - 1")
    },
    Check(505, .irqs, "Too small an argsz is refused, or told what is needed", Clause.argsz) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for size: UInt32 in [0, 15] {
        try requireToldOrRefused(peer, .irqInfo(0, argsz: size), "argsz \(size)", needs: 16)
      }
    },
    Check(506, .irqs, "There is at most one INTx", Clause.vfio) { probe throws(Verdict) in
      let count = try probe.open().irq(IRQSet.intx).count
      try require(count <= 1, "0 or 1", saw: "\(count)")
    },
    Check(507, .irqs, "There is an INTx if the interrupt pin register says so", Clause.pciLine) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let pin = try peer.configuration(0x3D, as: UInt8.self)
      try require(pin <= 4, "a pin from 0 to 4", saw: "\(pin)")
      try require("the number of INTx", peer.irq(IRQSet.intx).count, is: pin == 0 ? 0 : 1)
    },
    Check(508, .irqs, "There are as many MSI as the capability says", Clause.pciMSI) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let place = try peer.capability(0x05)
      guard let place else {
        return try require("the number of MSI", peer.irq(IRQSet.msi).count, is: 0)
      }
      let control = try peer.configuration(place + 2, as: UInt16.self)
      try require(
        "the number of MSI", peer.irq(IRQSet.msi).count, is: 1 << UInt32(control >> 1 & 7))
    },
    Check(509, .irqs, "There are as many MSI-X as the capability says", Clause.pciMSIX) {
      probe throws(Verdict) in
      let peer = try probe.open()
      guard let place = try peer.capability(0x11) else {
        return try require("the number of MSI-X", peer.irq(IRQSet.msix).count, is: 0)
      }
      let control = try peer.configuration(place + 2, as: UInt16.self)
      try require(
        "the number of MSI-X", peer.irq(IRQSet.msix).count, is: UInt32(control & 0x7FF) + 1)
    },
    Check(510, .irqs, "A type that masks itself can be unmasked", Clause.irqInfo) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for index in 0..<(try peer.irqCount()) {
        let facts = try peer.irq(index)
        try require(
          !facts.isAutomasked || facts.isMaskable, "MASKABLE with AUTOMASKED for type \(index)",
          saw: "flags \(hex(facts.flags))")
      }
    },
    Check(511, .irqs, "A count beyond the type's is refused", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let flags = IRQSet.none | IRQSet.trigger
      try peer.refuse(
        .setIRQs(flags, facts.index, count: facts.count &+ 1), "a count of \(facts.count &+ 1)")
      try peer.refuse(
        .setIRQs(flags, facts.index, start: facts.count, count: 1), "a start of \(facts.count)")
    },
    Check(512, .irqs, "A range that wraps is refused", Clause.setIRQs) { probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let flags = IRQSet.none | IRQSet.trigger
      try peer.refuse(
        .setIRQs(flags, facts.index, start: .max, count: 2), "a start of 2^32 - 1 and a count of 2")
    },
    Check(513, .irqs, "A type that is not there cannot be set", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let count = try peer.succeed(.deviceInfo(), atLeast: 16).word(12)
      let flags = IRQSet.none | IRQSet.trigger
      try peer.refuse(.setIRQs(flags, count, count: 1), "type \(count)")
      try peer.refuse(.setIRQs(flags, .max, count: 1), "type 2^32 - 1")
    },
    Check(514, .irqs, "Flags without a kind of data are refused", Clause.setIRQs) {
      probe throws(Verdict) in
      try requireFlagsRefused(probe, IRQSet.trigger)
    },
    Check(515, .irqs, "Two kinds of data at once are refused", Clause.setIRQs) {
      probe throws(Verdict) in
      try requireFlagsRefused(probe, IRQSet.none | IRQSet.booleans | IRQSet.trigger)
    },
    Check(516, .irqs, "Flags without an action are refused", Clause.setIRQs) {
      probe throws(Verdict) in
      try requireFlagsRefused(probe, IRQSet.none)
    },
    Check(517, .irqs, "Two actions at once are refused", Clause.setIRQs) { probe throws(Verdict) in
      try requireFlagsRefused(probe, IRQSet.none | IRQSet.mask | IRQSet.trigger)
    },
    Check(518, .irqs, "Fewer booleans than the count are refused", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      try peer.refuse(
        .setIRQs(IRQSet.booleans | IRQSet.trigger, facts.index, count: 1), "no boolean for one")
    },
    Check(519, .irqs, "A count of 2^31 booleans takes no memory", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(
        .setIRQs(IRQSet.booleans | IRQSet.trigger, 0, count: 1 << 31, [1]), "2^31 booleans")
      try peer.fence("a count of 2^31")
    },
    Check(520, .irqs, "SET_IRQS has no payload in its reply", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let reply = try peer.succeed(disable(facts.index))
      try require(reply.payload.isEmpty, "no payload", saw: "\(reply.payload.count) bytes")
    },
    Check(521, .irqs, "INTx can be masked and unmasked if it says so", Clause.irqInfo) {
      probe throws(Verdict) in
      let peer = try probe.open()
      guard try peer.irq(IRQSet.intx).isMaskable else { throw .skipped("no INTx that says so") }
      try peer.succeed(.setIRQs(IRQSet.none | IRQSet.mask, IRQSet.intx, count: 1), "MASK")
      try peer.succeed(.setIRQs(IRQSet.none | IRQSet.unmask, IRQSet.intx, count: 1), "UNMASK")
    },
  ]

  /// Disables all interrupts of a type.
  static func disable(_ index: UInt32) -> Request {
    .setIRQs(IRQSet.none | IRQSet.trigger, index, count: 0)
  }

  private static func requireFlagsRefused(_ probe: Probe, _ flags: UInt32) throws(Verdict) {
    let peer = try probe.open()
    let facts = try peer.irqWithEventfds()
    try peer.refuse(
      .setIRQs(flags, facts.index, count: 1, flags & IRQSet.booleans != 0 ? [0] : []),
      "flags \(hex(flags))")
  }
}
