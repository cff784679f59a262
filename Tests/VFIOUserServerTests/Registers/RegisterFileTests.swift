import TestSupport
import Testing
import VFIOUserServer
import VFIOUserTransport

extension RegisterFile {
  func bytes(at offset: UInt64, _ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: count)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    read(at: offset, into: &raw)
    return bytes
  }

  func put(_ bytes: [UInt8], at offset: UInt64) {
    do { try write(at: offset, from: bytes.span) } catch { Issue.record("\(error)") }
  }
}

@Suite struct `A register file` {
  static let lines = [
    Register("wide", at: 8, .bits64, reset: 0x1122_3344_5566_7788, writable: .max),
    Register("control", at: 0, .bits16, reset: 0x0001, writable: 0x00FF),
    Register("events", at: 2, .bits16, reset: 0xF0F0, clearedByOne: 0xFF00),
    Register("odd", at: 5, .bits16, reset: 0xBEEF),
  ]
  let file: RegisterFile
  init() throws { file = try RegisterFile(size: 20, Self.lines) }

  static let image: [UInt8] =
    [
      1, 0, 0xF0, 0xF0, 0, 0xEF, 0xBE, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0, 0,
      0,
    ]

  @Test(arguments: 1...20)
  func `A register file can be read in accesses of any width at any offset`(width: Int) {
    for start in 0..<20 {
      let expected = (start..<start + width).map { $0 < 20 ? Self.image[$0] : 0 }
      #expect(file.bytes(at: UInt64(start), width) == expected)
    }
  }

  @Test(arguments: 1...20)
  func `A register file can be written in accesses of any width at any offset`(width: Int) throws {
    for start in 0..<20 {
      let file = try RegisterFile(size: 20, Self.lines)
      file.put([UInt8](repeating: 0xFF, count: width), at: UInt64(start))
      var expected = Self.image
      for place in start..<min(20, start + width) {
        switch place {
        case 0, 8...15: expected[place] = 0xFF
        case 3: expected[place] = 0
        default: break
        }
      }
      #expect(file.bytes(at: 0, 20) == expected)
    }
  }

  @Test func `A register file reads as zero outside its size and ignores writes there`() {
    for offset in [20, 21, 1 << 40, UInt64(Int.max), UInt64(Int.max) + 1, .max] {
      #expect(file.bytes(at: offset, 3) == [0, 0, 0])
      file.put([1, 2, 3], at: offset)
    }
    #expect(file.bytes(at: 0, 20) == Self.image)
    #expect(file.bytes(at: 3, 0) == [])
  }

  @Test func `Write-one-to-clear bits are cleared by ones and kept by zeros`() {
    file.put([0, 0x30], at: 2)
    #expect(file.value(at: 2) == 0xC0F0)
    file.put([0xFF, 0x00], at: 2)
    #expect(file.value(at: 2) == 0xC0F0)
  }

  @Test func `A write hook of a register gets the written, covered and changed bits`() throws {
    let seen = Monitor<[Register.Write]>([])
    let file = try RegisterFile(
      size: 8,
      [
        Register(
          "a", at: 0, .bits32, reset: 0x10, writable: 0xFF00,
          onWrite: { write in seen.withLock { $0.append(write) } })
      ])
    file.put([0xAA, 0xBB, 0xCC, 0xDD, 0xEE], at: 1)
    file.put([0xFF], at: 4)
    let write = try #require(seen.withLock { $0 }.first)
    #expect(seen.withLock { $0.count } == 1)
    #expect(write.previous == 0x10)
    #expect(write.value == 0xAA10)
    #expect(write.written == 0xCCBB_AA00)
    #expect(write.covered == 0xFFFF_FF00)
    #expect(write.changes(0x8000))
    #expect(!write.changes(0x0010))
  }

  @Test func `A read hook of a register computes the value read and keeps the stored value`() throws
  {
    let file = try RegisterFile(
      size: 4, [Register("a", at: 0, .bits32, reset: 1, onRead: { $0 | 0xFF00 })])
    #expect(file.bytes(at: 0, 4) == [1, 0xFF, 0, 0])
    #expect(file.bytes(at: 1, 1) == [0xFF])
    #expect(file.value(at: 0) == 1)
  }

  @Test func `A settle hook of a register corrects a value that is not possible`() throws {
    let file = try RegisterFile(
      size: 1,
      [Register("a", at: 0, .bits8, writable: 0xFF, restrict: { min($0.value, 5) })])
    file.put([200], at: 0)
    #expect(file.value(at: 0) == 5)
  }

  @Test func `A register file can be updated by its device and is restored by a reset`() {
    #expect(file.update(at: 2) { $0 |= 0x1_0F0F } == 0xFFFF)
    #expect(file.update(at: 3) { $0 = 0 } == nil)
    #expect(file.value(at: 99) == nil)
    file.put([0xFF], at: 0)
    file.reset()
    #expect(file.bytes(at: 0, 20) == Self.image)
  }

  @Test func `Hooks of a register file may access the register file`() throws {
    let box = Monitor<RegisterFile?>(nil)
    let file = try RegisterFile(
      size: 8,
      [
        Register(
          "a", at: 0, .bits32, writable: 0xFF,
          onWrite: { write in
            box.withLock { $0 }?.update(at: 4) { $0 = write.value + 1 }
          }),
        Register("b", at: 4, .bits32),
      ])
    box.withLock { $0 = file }
    file.put([7], at: 0)
    #expect(file.value(at: 4) == 8)
    box.withLock { $0 = nil }
  }

  struct Mistake: Sendable {
    let lines: [Register]
    let flaw: RegisterFile.ValidationError
    let text: String
    init(_ lines: [Register], _ flaw: RegisterFile.ValidationError, _ text: String) {
      self.lines = lines
      self.flaw = flaw
      self.text = text
    }
  }

  static let mistakes = [
    Mistake(
      [Register("a", at: 0, .bits32), Register("b", at: 3, .bits8)],
      .overlap("a", at: 0, with: "b", from: 3), "register a at 0x0 overlaps b at 0x3"),
    Mistake(
      [Register("a", at: 6, .bits32)], .outside("a", at: 6, end: 10, size: 8),
      "register a at 0x6 ends at 0xa, the space has 0x8 bytes"),
    Mistake(
      [Register("a", at: .max, .bits8)], .outside("a", at: .max, end: 0, size: 8),
      "register a at 0xffffffffffffffff ends at 0x0, the space has 0x8 bytes"),
    Mistake(
      [Register("a", at: 0, .bits8, writable: 0x100)], .tooWide("a", at: 0, bits: 0x100),
      "register a at 0x0 has no bits 0x100"),
    Mistake(
      [Register("a", at: 0, .bits8, writable: 3, clearedByOne: 6)],
      .ambiguous("a", at: 0, bits: 2),
      "bits 0x2 of register a at 0x0 are both written and cleared by ones"),
  ]

  @Test(arguments: mistakes.indices)
  func `A register file refuses contradictory registers and names their offsets`(number: Int) {
    let mistake = Self.mistakes[number]
    #expect(throws: mistake.flaw) { try RegisterFile(size: 8, mistake.lines) }
    #expect("\(mistake.flaw)" == mistake.text)
  }

  @Test func `A register file refuses a register at the largest integer offset`() {
    #expect(throws: RegisterFile.ValidationError.self) {
      try RegisterFile(size: 8, [Register("a", at: .max, .bits64)])
    }
  }
}
