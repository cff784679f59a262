import Testing

@testable import VFIOUserServer

/// One of everything that a state may consist of.
private struct Everything: Codable, Equatable {
  enum Kind: String, Codable { case one, two }
  enum Work: Codable, Equatable {
    case idle
    case copying(from: UInt64, count: Int)
  }
  struct Bits: OptionSet, Codable { let rawValue: UInt8 }

  var isOn = true
  var small: Int8 = -7
  var large: UInt64 = .max
  var negative: Int64 = .min
  var real = 0.25
  var bytes: [UInt8] = [1, 2, 3]
  var name = "дом"
  var kind = Kind.two
  var work = Work.copying(from: 0x1000, count: 9)
  var bits: Bits = [Bits(rawValue: 4)]
  var nothing: UInt32?
  var something: UInt32? = 5
  var list: [[UInt16]] = [[], [1, 2]]
  var pages: [[UInt8]?] = [nil, [9]]
  var table: [String: UInt64] = ["b": 2, "a": 1]
  var empty = Empty()

  struct Empty: Codable, Equatable {}
}

private func encoded(_ value: some Encodable) throws -> [UInt8] {
  try StateEncoder.value(of: value).encoded()
}

private func decoded<State: Decodable>(_ type: State.Type, _ bytes: [UInt8]) throws -> State {
  try StateDecoder.decode(type, StateValue(decoding: bytes))
}

private func reason(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return "\(error)"
  }
}

@Suite struct `A Codable value in a state` {
  @Test func `Every kind of property is decoded as it was encoded`() throws {
    var state = Everything()
    #expect(try decoded(Everything.self, encoded(state)) == state)
    state.work = .idle
    state.nothing = 0
    #expect(try decoded(Everything.self, encoded(state)) == state)
  }

  @Test func `Equal values have equal bytes, whatever the order of a dictionary`() throws {
    var one = Everything()
    one.table = Dictionary(uniqueKeysWithValues: (0..<100).map { ("\($0)", $0) })
    var other = one
    other.table = Dictionary(uniqueKeysWithValues: (0..<100).reversed().map { ("\($0)", $0) })
    #expect(try encoded(one) == encoded(other))
  }

  @Test func `A property that came later is missing only if it is not optional`() throws {
    struct Old: Codable { var a = 1 }
    struct Newer: Codable, Equatable {
      var a = 0
      var b: Int?
    }
    struct Stricter: Codable {
      var a = 0
      var b = 0
    }
    #expect(try decoded(Newer.self, encoded(Old())) == Newer(a: 1, b: nil))
    #expect(
      reason { _ = try decoded(Stricter.self, encoded(Old())) } == "the field b is missing")
  }

  @Test func `A property that nobody asks for is refused, at any depth`() throws {
    struct Inner: Codable { var a = 1 }
    struct LargerInner: Codable {
      var a = 1
      var b: [Int]? = [1]
    }
    struct Old: Codable { var list = [Inner()] }
    struct Newer: Codable { var list = [LargerInner()] }
    #expect(
      reason { _ = try decoded(Old.self, encoded(Newer())) } == "the field list.0.b is unknown")
  }

  @Test func `A number that does not fit is refused with its name`() throws {
    struct Wide: Codable { var a: Int = 256 }
    struct Narrow: Codable { var a: UInt8 = 0 }
    #expect(
      reason { _ = try decoded(Narrow.self, encoded(Wide())) } == "a: 256 does not fit into UInt8")
    #expect(
      reason { _ = try decoded(Narrow.self, encoded(Wide(a: -1))) }
        == "a: -1 does not fit into UInt8")
    #expect(try decoded(Narrow.self, encoded(Wide(a: 255))).a == 255)
  }

  @Test func `A value of another kind is refused`() throws {
    struct Text: Codable { var a = "1" }
    struct Number: Codable { var a = 1 }
    #expect(reason { _ = try decoded(Number.self, encoded(Text())) } != nil)
    #expect(reason { _ = try decoded(Text.self, encoded(Number())) } != nil)
    #expect(reason { _ = try decoded([Int].self, encoded(Number())) } != nil)
    #expect(reason { _ = try decoded(Number.self, encoded([1])) } != nil)
  }

  @Test func `A type sees the version of the state that it decodes`() throws {
    struct Versioned: Decodable {
      let version: UInt16
      init(from decoder: any Decoder) throws {
        version = decoder.userInfo[.savedStateVersion] as? UInt16 ?? 0
      }
    }
    let state = try StateDecoder.decode(Versioned.self, .record([]), version: 3)
    #expect(state.version == 3)
  }
}

@Suite struct `The bytes of a state value` {
  @Test func `A record of many fields is decoded in a time that grows with their number`() throws {
    let fields = (0..<40_000).map { StateValue.Field(name: "\($0)", value: .unsigned(1)) }
    let start = ContinuousClock.now
    let decoded = try StateDecoder.decode([String: UInt64].self, .record(fields))
    #expect(decoded.count == 40_000)
    #expect(ContinuousClock.now - start < .seconds(10))
  }

  @Test func `What no reader would take is not encoded`() throws {
    let limit = StateValue.maxValues
    _ = try StateEncoder.value(of: [UInt64](repeating: 0, count: limit - 1))
    #expect(throws: StateError.self) {
      _ = try StateEncoder.value(of: [UInt64](repeating: 0, count: limit))
    }
    final class Nest: Codable {
      let inner: Nest?
      init(_ depth: Int) { inner = depth > 1 ? Nest(depth - 1) : nil }
    }
    let deep = try StateEncoder.value(of: Nest(32))
    #expect(try StateValue(decoding: deep.encoded()) == deep)
    #expect(throws: StateError.self) { _ = try StateEncoder.value(of: Nest(33)) }
    let name = String(repeating: "n", count: StateValue.maxName)
    let named = try StateEncoder.value(of: [name: 1])
    #expect(try StateValue(decoding: named.encoded()) == named)
    #expect(throws: StateError.self) { _ = try StateEncoder.value(of: [name + "n": 1]) }
    #expect(throws: StateError.self) {
      try StateValue(decoding: StateValue.record([.init(name: name + "n", value: .none)]).encoded())
    }
  }

  @Test func `Every cut of the bytes is refused`() throws {
    let bytes = try encoded(Everything())
    for count in bytes.indices {
      #expect(throws: StateError.self) { try StateValue(decoding: Array(bytes[..<count])) }
    }
    #expect(throws: StateError.self) { try StateValue(decoding: bytes + [0]) }
  }

  @Test func `No change of one bit traps, and what is decoded encodes again to the same bytes`()
    throws
  {
    let bytes = try encoded(Everything())
    for place in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[place] ^= 1 << UInt8(bit)
        guard let value = try? StateValue(decoding: changed) else { continue }
        #expect(value.encoded() == changed)
        _ = try? StateDecoder.decode(Everything.self, value)
      }
    }
  }

  @Test(arguments: [StateValue.maxDepth, StateValue.maxDepth + 1])
  func `Values lie in each other up to the limit`(depth: Int) {
    // Lists of one element, and nothing in the last.
    let list: [UInt8] = [8, 1, 0, 0, 0]
    var bytes: [UInt8] = []
    for _ in 1..<depth { bytes += list }
    bytes.append(0)
    let isTaken = (try? StateValue(decoding: bytes)) != nil
    #expect(isTaken == (depth <= StateValue.maxDepth))
  }

  @Test func `More values than the limit are refused before they take memory`() {
    var bytes: [UInt8] = [8]
    bytes.append(littleEndian: UInt32(StateValue.maxValues))
    bytes += [UInt8](repeating: 0, count: StateValue.maxValues)
    #expect(throws: StateError.self) { try StateValue(decoding: bytes) }
  }

  @Test func `A count of more values than there are bytes is refused`() {
    for tag in [8, 9] as [UInt8] {
      #expect(throws: StateError.self) {
        try StateValue(decoding: [tag, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0])
      }
    }
  }

  @Test
  func `A name that occurs twice, an unknown kind and a positive negative number are refused`() {
    let field: [UInt8] = [1, 0, 0, 0, 0x61, 0]
    #expect(throws: StateError.self) { try StateValue(decoding: [9, 2, 0, 0, 0] + field + field) }
    #expect(throws: Never.self) { try StateValue(decoding: [9, 1, 0, 0, 0] + field) }
    #expect(throws: StateError.self) { try StateValue(decoding: [10]) }
    #expect(throws: StateError.self) { try StateValue(decoding: [4, 1, 0, 0, 0, 0, 0, 0, 0]) }
    #expect(throws: StateError.self) { try StateValue(decoding: [7, 1, 0, 0, 0, 0xFF]) }
  }
}
