import Testing
import VFIOUserProtocol

@Suite struct `DMA messages` {
  private func map(argsz: String = "20000000", flags: String) -> [UInt8] {
    hex(argsz + flags + "0000000000000000 0010000000000000 0010000000000000")
  }
  private func unmap(argsz: String = "18000000", flags: String, more: String = "") -> [UInt8] {
    hex(argsz + flags + "0010000000000000 0010000000000000" + more)
  }

  @Test(
    arguments: [
      ("00000000", DMAMapFlags()), ("01000000", .readable), ("02000000", .writable),
      ("04000000", .mappable), ("08000000", .fileIO),
    ] as [(String, DMAMapFlags)])
  func `DMA_MAP has four flags`(text: String, flags: DMAMapFlags) throws {
    #expect(try decoded(map(flags: text), as: DMAMap.self).flags == flags)
  }

  @Test(
    arguments: [([], true), (.mappable, true), (.fileIO, false), ([.mappable, .fileIO], true)]
      as [(DMAMapFlags, Bool)])
  func `DMA_MAP allows mapping unless its flags name file I/O only`(
    flags: DMAMapFlags, isAllowed: Bool
  ) {
    #expect(flags.union(.readable).allowsMapping == isAllowed)
  }

  @Test(arguments: 4..<32)
  func `DMA_MAP refuses unknown flags`(bit: Int) {
    var bytes = map(flags: "03000000")
    bytes[4 + bit / 8] |= 1 << (bit % 8)
    #expect(throws: WireError.reservedBits(field: "flags of DMA_MAP", value: 1 << bit)) {
      try decoded(bytes, as: DMAMap.self)
    }
  }

  @Test(arguments: [("00000000", 0), ("1f000000", 31)] as [(String, UInt32)])
  func `DMA_MAP refuses an argsz below its size`(text: String, had: UInt32) {
    #expect(throws: WireError.argumentSizeTooSmall(needed: 32, had: had)) {
      try decoded(map(argsz: text, flags: "03000000"), as: DMAMap.self)
    }
  }

  @Test(arguments: [UInt32(32), 33, .max])
  func `DMA_MAP accepts an argsz of its size and above`(size: UInt32) throws {
    var message = DMAMap(flags: .readable, address: 0, size: 4096)
    message.argumentSize = size
    #expect(try decoded(encoded(message), as: DMAMap.self) == message)
  }

  @Test(arguments: 2..<32)
  func `DMA_UNMAP refuses unknown flags`(bit: Int) {
    var bytes = unmap(flags: "00000000")
    bytes[4 + bit / 8] |= 1 << (bit % 8)
    #expect(throws: WireError.reservedBits(field: "flags of DMA_UNMAP", value: 1 << bit)) {
      try decoded(bytes, as: DMAUnmap.self)
    }
  }

  @Test func `DMA_UNMAP refuses an argsz below its size`() {
    #expect(throws: WireError.argumentSizeTooSmall(needed: 24, had: 23)) {
      try decoded(unmap(argsz: "17000000", flags: "00000000"), as: DMAUnmap.self)
    }
  }

  @Test func `DMA_UNMAP accepts a bitmap only if its flags request one`() throws {
    let bitmap = "0010000000000000 0800000000000000"
    let asking = try decoded(unmap(flags: "01000000", more: bitmap), as: DMAUnmap.self)
    #expect(asking.flags == .getDirtyBitmap)
    #expect(throws: WireError.surplus(expected: 24, had: 40)) {
      try decoded(unmap(flags: "02000000", more: bitmap), as: DMAUnmap.self)
    }
  }

  @Test func `A DMA access must have exactly as many data bytes as its count`() throws {
    let fixed = "0010000000000000 0300000000000000"
    let access = try decoded(hex(fixed), as: DMAAccess.self)
    let exact = hex(fixed + "aabbcc")
    #expect(array(try access.data(in: exact.span)) == hex("aabbcc"))
    let short = hex(fixed + "aabb")
    #expect(throws: WireError.truncated(needed: 19, had: 18)) {
      _ = try access.data(in: short.span).count
    }
    let long = hex(fixed + "aabbccdd")
    #expect(throws: WireError.surplus(expected: 19, had: 20)) {
      _ = try access.data(in: long.span).count
    }
    #expect(throws: WireError.surplus(expected: 16, had: 19)) {
      try access.requireNoData(in: exact.span)
    }
  }

  @Test(arguments: [.max, .max - 15, .max - 16, 1 << 63, 1 << 32] as [UInt64])
  func `A DMA access with an impossible count is refused without an overflow`(count: UInt64) {
    let bytes = encoded(DMAAccess(address: 0, count: count)) + [0, 0]
    #expect(throws: WireError.self) {
      _ = try DMAAccess(address: 0, count: count).data(in: bytes.span).count
    }
  }

  @Test(arguments: [1, 4, 8, 11, 13, 15, 17, 24])
  func `A DMA_WRITE reply with a size that belongs to none of its forms is refused`(size: Int) {
    #expect(throws: WireError.self) {
      try decoded([UInt8](repeating: 0, count: size), as: DMAWriteReply.self)
    }
  }

  @Test func `A DMA_WRITE reply confirms the request that it repeats and no other`() {
    let request = DMAAccess(address: 0x1000, count: 64)
    #expect(DMAWriteReply(confirming: request).confirms(request))
    #expect(DMAWriteReply.bare.confirms(request))
    #expect(DMAWriteReply.narrow(address: 0x1000, count: 64).confirms(request))
    #expect(!DMAWriteReply.narrow(address: 0x1000, count: 63).confirms(request))
    #expect(!DMAWriteReply.narrow(address: 0x1001, count: 64).confirms(request))
    #expect(!DMAWriteReply.wide(DMAAccess(address: 0x1000, count: 1 << 33)).confirms(request))
  }
}
