import Testing
import VFIOUserProtocol

@Suite struct `DEVICE_SET_IRQS` {
  private func message(
    argsz: UInt8 = 20, flags: UInt32, start: UInt32 = 0, count: UInt32 = 0, data: [UInt8] = []
  ) -> [UInt8] {
    func number(_ value: UInt32) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
    return [argsz, 0, 0, 0] + number(flags) + [2, 0, 0, 0] + number(start) + number(count) + data
  }

  @Test(arguments: SetInterrupts.DataKind.allCases, SetInterrupts.Action.allCases)
  func `DEVICE_SET_IRQS accepts one data type and one action`(
    data: SetInterrupts.DataKind, action: SetInterrupts.Action
  ) throws {
    let read = try decoded(
      message(flags: data.rawValue | action.rawValue), as: SetInterrupts.self)
    #expect(read.data == data && read.action == action)
  }

  /// All 64 combinations of the six flags but the nine good ones.
  private static let badCombinations = (UInt32(0)..<64).filter {
    ($0 & 7).nonzeroBitCount != 1 || ($0 >> 3).nonzeroBitCount != 1
  }

  @Test(arguments: badCombinations)
  func `DEVICE_SET_IRQS refuses none or several of the data types or actions`(flags: UInt32) {
    #expect {
      try decoded(message(flags: flags), as: SetInterrupts.self)
    } throws: { error in
      guard case .notExactlyOne(_, flags) = error as? WireError else { return false }
      return true
    }
  }

  @Test(arguments: 6..<32)
  func `DEVICE_SET_IRQS refuses unknown flags`(bit: Int) {
    #expect(throws: WireError.reservedBits(field: "flags of DEVICE_SET_IRQS", value: 1 << bit)) {
      try decoded(message(flags: 0x21 | 1 << UInt32(bit)), as: SetInterrupts.self)
    }
  }

  @Test func `DEVICE_SET_IRQS leaves its booleans in the payload`() throws {
    let bytes = message(argsz: 23, flags: 0x22, start: 5, count: 3, data: [1, 0, 2])
    let read = try decoded(bytes, as: SetInterrupts.self)
    #expect(array(try read.booleans(in: bytes.span)) == [1, 0, 2])
    #expect(
      read
        == SetInterrupts(data: .booleans, action: .trigger, index: .msix, start: 5, count: 3))
    #expect(encoded(read) == Array(bytes[..<20]))
  }

  @Test(arguments: [0, 1, 2])
  func `DEVICE_SET_IRQS refuses fewer booleans than its count`(there: Int) {
    let data = [UInt8](repeating: 1, count: there)
    #expect(throws: WireError.truncated(needed: 23, had: 20 + there)) {
      try decoded(message(argsz: 23, flags: 0x22, count: 3, data: data), as: SetInterrupts.self)
    }
  }

  @Test func `DEVICE_SET_IRQS refuses a count of booleans that no message holds`() {
    #expect(throws: WireError.self) {
      try decoded(message(argsz: 23, flags: 0x22, count: .max, data: [1]), as: SetInterrupts.self)
    }
  }

  @Test(arguments: [0x21, 0x22, 0x24])
  func `DEVICE_SET_IRQS refuses data that its flags do not announce`(flags: UInt32) {
    #expect(throws: WireError.surplus(expected: 20, had: 21)) {
      try decoded(message(flags: flags, data: [1]), as: SetInterrupts.self)
    }
  }

  @Test(arguments: [(0, 20), (19, 20)] as [(UInt8, UInt32)])
  func `DEVICE_SET_IRQS refuses an argsz below its size`(argsz: UInt8, needed: UInt32) {
    #expect(throws: WireError.argumentSizeTooSmall(needed: needed, had: UInt32(argsz))) {
      try decoded(message(argsz: argsz, flags: 0x21), as: SetInterrupts.self)
    }
  }

  @Test func `DEVICE_SET_IRQS refuses an argsz that leaves out the booleans`() {
    #expect(throws: WireError.argumentSizeTooSmall(needed: 22, had: 21)) {
      try decoded(
        message(argsz: 21, flags: 0x22, count: 2, data: [1, 1]), as: SetInterrupts.self)
    }
  }

  @Test func `DEVICE_SET_IRQS accepts an argsz above its size`() throws {
    #expect(
      try decoded(message(argsz: 200, flags: 0x24), as: SetInterrupts.self).data
        == .eventDescriptors)
  }

  @Test func `DEVICE_SET_IRQS disables an index with no data and an empty range`() {
    func set(_ data: SetInterrupts.DataKind, _ start: UInt32, _ count: UInt32) -> Bool {
      SetInterrupts(data: data, action: .trigger, index: .msi, start: start, count: count)
        .disablesAll
    }
    #expect(set(.none, 0, 0))
    #expect(!set(.none, 1, 0) && !set(.none, 0, 1) && !set(.eventDescriptors, 0, 0))
  }

  @Test(
    arguments: [
      (0, 0, 0, 0..<0), (0, 4, 4, 0..<4), (3, 1, 4, 3..<4), (4, 0, 4, 4..<4), (4, 1, 4, nil),
      (0, 5, 4, nil), (5, 0, 4, nil), (.max, 1, .max, nil), (1, .max, .max, nil),
      (.max, .max, .max, nil),
    ] as [(UInt32, UInt32, UInt32, Range<Int>?)])
  func `DEVICE_SET_IRQS has a range only within the available interrupts`(
    start: UInt32, count: UInt32, available: UInt32, range: Range<Int>?
  ) {
    let set = SetInterrupts(data: .none, action: .mask, index: .msix, start: start, count: count)
    #expect(set.range(within: available) == range)
  }
}
