import SystemPackage
import TestSupport
import Testing

@testable import VFIOUserServer

private struct Sample: Codable, Equatable { var number = 7 }

/// A stream with two sections.
private func stream() throws -> [UInt8] {
  var writer = try StateWriter(limit: 1 << 20)
  try writer.add("first", Sample())
  try writer.add("second", version: 3, content: [1, 2, 3])
  try writer.end()
  return try writer.file.bytes(at: 0, count: Int(writer.file.size))
}

private func reader(_ bytes: [UInt8]) throws -> StateReader {
  let file = try StateFile(limit: 1 << 20)
  try file.append(bytes.span)
  return try StateReader(file)
}

@Suite struct `A stream of sections` {
  @Test func `A stream has its sections in order, with versions and contents`() throws {
    let reader = try reader(stream())
    #expect(reader.sections.map(\.name) == ["first", "second"])
    #expect(reader.sections.map(\.version) == [1, 3])
    #expect(try reader.decode(Sample.self, reader.sections[0]) == Sample())
    #expect(try reader.bytes(of: reader.sections[1], at: 1, count: 2) == [2, 3])
    #expect(throws: StateError.self) { try reader.bytes(of: reader.sections[1], at: 2, count: 2) }
  }

  @Test func `A stream that is cut off anywhere is refused`() throws {
    let bytes = try stream()
    for count in bytes.indices {
      #expect(throws: StateError.self) { try reader(Array(bytes[..<count])) }
    }
  }

  @Test func `A stream with any byte changed is refused`() throws {
    let bytes = try stream()
    for place in bytes.indices {
      var changed = bytes
      changed[place] ^= 0x40
      #expect(throws: StateError.self, "byte \(place)") { try reader(changed) }
    }
  }

  @Test func `A stream with bytes behind its end, or without a section, is refused`() throws {
    let bytes = try stream()
    #expect(throws: StateError.self) { try reader(bytes + [0]) }
    let first = 16 + 5 + (try StateEncoder.value(of: Sample()).encoded()).count
    let without = Array(bytes[..<16]) + Array(bytes[(16 + first)...])
    #expect(throws: StateError("the state has 1 sections, its end counts 2")) {
      try reader(without)
    }
  }

  @Test func `A stream has no more sections than its reader takes`() throws {
    var writer = try StateWriter(limit: 1 << 24)
    for _ in 0..<StateForm.maxSections { try writer.add("s", version: 1, content: []) }
    #expect(throws: StateError.self) { try writer.add("s", version: 1, content: []) }
    try writer.end()
    #expect(try StateReader(writer.file).sections.count == StateForm.maxSections)
  }

  @Test func `A stream of another form says both versions`() throws {
    var bytes = try stream()
    bytes[8] = 2
    #expect(throws: StateError("the state has form 2, this program knows form 1")) {
      try reader(bytes)
    }
  }

  @Test(arguments: [63, 64, 65])
  func `A file takes bytes up to its limit and refuses the next`(count: Int) throws {
    let file = try StateFile(limit: 64)
    let bytes = [UInt8](repeating: 1, count: count)
    if count > 64 {
      #expect(throws: Errno.fileTooLarge) { try file.append(bytes.span) }
      #expect(file.size == 0)
    } else {
      try file.append(bytes.span)
      #expect(file.size == UInt64(count))
      #expect(try file.bytes(at: 0, count: count) == bytes)
      #expect(throws: Errno.invalidArgument) { try file.bytes(at: 1, count: count) }
    }
  }
}

@Suite struct `The contents of a register file` {
  private func file() throws -> RegisterFile {
    try RegisterFile(
      size: 64,
      [
        Register("a", at: 0, .bits32, reset: 1, writable: 0xFF),
        Register("b", at: 8, .bits64), Register("c", at: 16, .bits8, reset: 3),
      ])
  }

  @Test func `Contents are loaded into another file, read-only bits included`() throws {
    let (one, other) = (try file(), try file())
    one.update(at: 0) { $0 = 0xFFFF_FF02 }
    one.update(at: 8) { $0 = .max }
    try other.load(one.contents)
    #expect(other.contents == one.contents)
    #expect(other.value(at: 0) == 0xFFFF_FF02)
  }

  @Test func `A register that the contents do not name is as after a reset`() throws {
    let file = try file()
    file.update(at: 16) { $0 = 9 }
    try file.load(RegisterFile.Contents(values: ["a": 5]))
    #expect(file.contents.values == ["a": 5, "b": 0, "c": 3])
  }

  @Test func `Contents that do not fit change nothing`() throws {
    let file = try file()
    for values in [["a": 1 << 32], ["c": 256], ["d": 0]] as [[String: UInt64]] {
      #expect(throws: StateError.self) {
        try file.load(RegisterFile.Contents(values: values.merging(["b": 9]) { first, _ in first }))
      }
    }
    #expect(file.contents.values == ["a": 1, "b": 0, "c": 3])
  }
}
