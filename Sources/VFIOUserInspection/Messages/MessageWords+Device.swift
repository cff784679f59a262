internal import VFIOUserProtocol

extension MessageWords {
  mutating func deviceInfo(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    let info = try DeviceInfo(decoding: payload)
    add("argsz", .number(UInt64(info.argumentSize)))
    guard isReply else { return try info.validateRequest() }
    add("flags", names(of: UInt64(info.flags.rawValue), [(1, "reset"), (2, "pci")]))
    add("regions", .number(UInt64(info.regionCount)))
    add("interrupt types", .number(UInt64(info.interruptTypeCount)))
  }

  mutating func interruptInfo(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    let info = try InterruptInfo(decoding: payload)
    add("argsz", .number(UInt64(info.argumentSize)))
    add("type", .word(info.index.description))
    guard isReply else { return try info.validateRequest() }
    add("count", .number(UInt64(info.count)))
    add(
      "flags",
      names(
        of: UInt64(info.flags.rawValue),
        [(1, "eventfd"), (2, "maskable"), (4, "automasked"), (8, "noresize")]))
  }

  mutating func setInterrupts(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    guard !isReply else { return try nothing(payload) }
    let set = try SetInterrupts(decoding: payload)
    let data =
      switch set.data {
      case .none: "none"
      case .booleans: "bool"
      case .eventDescriptors: "eventfd"
      }
    add("type", .word(set.index.description))
    add("action", .word("\(set.action)"))
    add("data", .word(data))
    add("start", .number(UInt64(set.start)))
    add("count", .number(UInt64(set.count)))
    if set.data == .booleans {
      add("booleans", .data(FieldBytes(try set.booleans(in: payload))))
    }
  }
}
