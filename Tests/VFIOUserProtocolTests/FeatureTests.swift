import Testing
import VFIOUserProtocol

@Suite struct `DEVICE_FEATURE` {
  private func message(argsz: String = "08000000", flags: UInt32) -> [UInt8] {
    hex(argsz) + (0..<4).map { UInt8(truncatingIfNeeded: flags >> ($0 * 8)) }
  }

  @Test(arguments: [UInt32(1), 2, 4, 5, 6, 7])
  func `DEVICE_FEATURE accepts one method, or any methods with PROBE`(methods: UInt32) throws {
    let read = try decoded(message(flags: methods << 16 | 0xABCD), as: DeviceFeature.self)
    #expect(read.methods.rawValue == methods << 16 && read.feature.rawValue == 0xABCD)
  }

  @Test(arguments: [UInt32(0), 3])
  func `DEVICE_FEATURE refuses no method, and GET and SET together without PROBE`(methods: UInt32) {
    #expect(throws: WireError.notExactlyOne(of: "GET, SET", value: methods << 16 | 1)) {
      try decoded(message(flags: methods << 16 | 1), as: DeviceFeature.self)
    }
  }

  @Test(arguments: 19..<32)
  func `DEVICE_FEATURE refuses unknown flags`(bit: Int) {
    #expect(throws: WireError.reservedBits(field: "flags of DEVICE_FEATURE", value: 1 << bit)) {
      try decoded(message(flags: 1 << 16 | 1 << UInt32(bit)), as: DeviceFeature.self)
    }
  }

  @Test func `DEVICE_FEATURE refuses an argsz below its size`() {
    #expect(throws: WireError.argumentSizeTooSmall(needed: 8, had: 7)) {
      try decoded(message(argsz: "07000000", flags: 1 << 16), as: DeviceFeature.self)
    }
  }

  @Test func `DEVICE_FEATURE leaves its data to the feature`() throws {
    let bytes = message(flags: 1 << 17 | 2) + hex("03000000 00000000")
    let read = try decoded(bytes, as: DeviceFeature.self)
    let data = array(try read.data(in: bytes.span))
    #expect(try decoded(data, as: MigrationState.self) == MigrationState(.stopCopy))
  }

  @Test(
    arguments: [
      (1, "MIGRATION"), (2, "MIG_DEVICE_STATE"), (6, "DMA_LOGGING_START"), (7, "DMA_LOGGING_STOP"),
      (8, "DMA_LOGGING_REPORT"), (3, "feature 3"), (65535, "feature 65535"),
    ] as [(UInt16, String)])
  func `Each feature index, known or unknown, has a description`(number: UInt16, name: String) {
    #expect("\(FeatureIndex(rawValue: number))" == name)
  }
}

@Suite struct `Migration messages` {
  @Test(
    arguments: zip(
      [0, 1, 2, 3, 4, 5, 6, 7] as [UInt32],
      [.error, .stop, .running, .stopCopy, .resuming, .runningP2P, .preCopy, .preCopyP2P]
        as [DeviceState]))
  func `Migration messages know eight device states`(number: UInt32, state: DeviceState) {
    #expect(DeviceState(rawValue: number) == state)
  }

  @Test func `Migration messages keep unknown states and flags`() throws {
    let state = MigrationState(DeviceState(rawValue: 99), dataDescriptor: 7)
    #expect(try decoded(encoded(state), as: MigrationState.self) == state)
    #expect("\(state.state)" == "state 99" && "\(DeviceState.preCopy)" == "PRE_COPY")
    let flags = MigrationFlags(rawValue: .max)
    #expect(try decoded(encoded(flags), as: MigrationFlags.self) == flags)
  }

  @Test func `Migration data must have exactly as many bytes as its count`() throws {
    let bytes = hex("0a000000 02000000 aabb")
    let read = try decoded(bytes, as: MigrationData.self)
    #expect(array(try read.data(in: bytes.span)) == [0xAA, 0xBB])
    let short = hex("0a000000 03000000 aabb")
    #expect(throws: WireError.truncated(needed: 11, had: 10)) {
      _ = try MigrationData(decoding: short.span).data(in: short.span).count
    }
    let long = hex("0a000000 01000000 aabb")
    #expect(throws: WireError.surplus(expected: 9, had: 10)) {
      _ = try MigrationData(decoding: long.span).data(in: long.span).count
    }
  }

  @Test func `A read request for migration data needs an argsz with room for the reply`() throws {
    let good = hex("0a000000 02000000")
    try MigrationData(decoding: good.span).validateReadRequest(in: good.span)
    let tight = hex("09000000 02000000")
    #expect(throws: WireError.argumentSizeTooSmall(needed: 10, had: 9)) {
      try MigrationData(decoding: tight.span).validateReadRequest(in: tight.span)
    }
    let huge = hex("ffffffff ffffffff")
    try MigrationData(decoding: huge.span).validateReadRequest(in: huge.span)
    let data = good + [0]
    #expect(throws: WireError.surplus(expected: 8, had: 9)) {
      try MigrationData(decoding: data.span).validateReadRequest(in: data.span)
    }
  }
}

@Suite struct `DMA logging` {
  @Test(arguments: ["01000000", "00000010", "ffffffff"])
  func `DMA logging with fewer ranges than its count is refused`(count: String) {
    let bytes = hex("0010000000000000" + count + "00000000 0000000000000000 00000000000000")
    #expect(throws: WireError.self) { try decoded(bytes, as: DMALoggingControl.self) }
  }

  @Test func `DMA logging refuses a reserved word that is not zero`() {
    #expect(throws: WireError.mustBeZero(field: "reserved", value: 1)) {
      try decoded(hex("0010000000000000 00000000 01000000"), as: DMALoggingControl.self)
    }
  }

  @Test(arguments: [UInt64(0), 3, 4095, 4097, .max])
  func `DMA logging refuses a page size that is not a power of two`(size: UInt64) {
    let report = DMALoggingReport(address: 0, length: 4096, pageSize: size)
    #expect(throws: WireError.notAPowerOfTwo(field: "page_size", value: size)) {
      try decoded(encoded(report), as: DMALoggingReport.self)
    }
    #expect(throws: WireError.notAPowerOfTwo(field: "page_size", value: size)) {
      try report.bitmapSize(limit: .max)
    }
  }

  @Test(
    arguments: [
      (0, 4096, 0), (1, 4096, 8), (64 * 4096, 4096, 8), (64 * 4096 + 1, 4096, 16),
      (65 * 4096, 4096, 16), (.max, 1, 1 << 61), (.max, 2, 1 << 60), (.max, 1 << 63, 8),
    ] as [(UInt64, UInt64, Int)])
  func `A DMA logging bitmap has one bit for each full or partial page`(
    length: UInt64, page: UInt64, size: Int
  ) throws {
    let report = DMALoggingReport(address: .max, length: length, pageSize: page)
    #expect(try report.bitmapSize(limit: .max) == size)
    #expect(try report.bitmapSize(limit: size) == size)
    if size > 0 {
      #expect(throws: WireError.self) { try report.bitmapSize(limit: size - 1) }
    }
  }

  @Test func `A DMA logging bitmap must be as long as its range requires`() throws {
    let report = DMALoggingReport(address: 0, length: 0x2000, pageSize: 4096)
    let data = encoded(report) + hex("0300000000000000")
    #expect(array(try report.bitmap(in: data.span)) == hex("0300000000000000"))
    let short = Array(data.dropLast())
    #expect(throws: WireError.truncated(needed: 32, had: 31)) {
      _ = try report.bitmap(in: short.span).count
    }
  }
}
