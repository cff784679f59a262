package import VFIOUserProtocol

/// A message in words: the fields of its payload with the names of the specification.
package struct MessageWords: Equatable, Sendable {
  /// The fields that could be decoded.
  package private(set) var fields: [MessageField] = []
  /// The region that the message is about.
  package private(set) var region: RegionIndex?
  /// Why the payload could not be decoded.
  package private(set) var problem: WireError?

  /// No message.
  init() {}

  /// Decodes the payload of a message.
  package init(_ header: Header, _ payload: Span<UInt8>) {
    guard !header.flags.contains(.error) || !header.flags.isReply else {
      add("error", .word(header.error == 0 ? "without a number" : Names.errno(header.error)))
      return
    }
    do throws(WireError) {
      try decode(header.command, isReply: header.flags.isReply, payload)
    } catch {
      problem = error
      if fields.isEmpty, payload.count > 0 { add("payload", .data(FieldBytes(payload))) }
    }
  }

  private mutating func decode(
    _ command: Command, isReply: Bool, _ payload: Span<UInt8>
  ) throws(WireError) {
    switch command {
    case .version: try version(payload)
    case .dmaMap: try dmaMap(payload, isReply: isReply)
    case .dmaUnmap: try dmaUnmap(payload, isReply: isReply)
    case .deviceGetInfo: try deviceInfo(payload, isReply: isReply)
    case .deviceGetRegionInfo: try regionInfo(payload, isReply: isReply)
    case .deviceGetRegionIOFDs: try regionIOFDs(payload, isReply: isReply)
    case .deviceGetIRQInfo: try interruptInfo(payload, isReply: isReply)
    case .deviceSetIRQs: try setInterrupts(payload, isReply: isReply)
    case .regionRead: try regionAccess(payload, hasData: isReply)
    case .regionWrite: try regionAccess(payload, hasData: !isReply)
    case .regionWriteMulti: try writeMulti(payload, isReply: isReply)
    case .dmaRead: try dmaAccess(payload, hasData: isReply)
    case .dmaWrite: try isReply ? dmaWriteReply(payload) : dmaAccess(payload, hasData: true)
    case .deviceReset: try nothing(payload)
    case .deviceFeature: try feature(payload, isReply: isReply)
    case .migrationDataRead: try migrationData(payload, hasData: isReply, mayPad: true)
    case .migrationDataWrite:
      try isReply ? nothing(payload) : migrationData(payload, hasData: true, mayPad: false)
    default: unknown(payload)
    }
  }

  /// Adds a field.
  mutating func add(_ name: String, _ value: FieldValue) {
    fields.append(MessageField(name, value))
  }

  mutating func add(region: RegionIndex) {
    self.region = region
    add("region", .word(Names.region(region)))
  }

  /// Adds the registers that the message is about, behind their offset, unless they have been named.
  mutating func add(registers: String) {
    guard let place = fields.firstIndex(where: { $0.name == "offset" }),
      !fields.contains(where: { $0.name == "register" })
    else { return }
    fields.insert(MessageField("register", .word(registers)), at: place + 1)
  }

  mutating func note(region: RegionIndex?) { self.region = region }

  /// The payload must be empty.
  func nothing(_ payload: Span<UInt8>) throws(WireError) {
    guard payload.count == 0 else { throw .surplus(expected: 0, had: payload.count) }
  }

  private mutating func unknown(_ payload: Span<UInt8>) {
    if payload.count > 0 { add("payload", .data(FieldBytes(payload))) }
  }
}

/// The names of the bits that are set; bits without a name as a number.
func names(of bits: UInt64, _ known: [(UInt64, String)]) -> FieldValue {
  var rest = bits
  var words: [String] = []
  for (bit, name) in known where bits & bit != 0 {
    words.append(name)
    rest &= ~bit
  }
  if rest != 0 { words.append(hexadecimal(rest)) }
  return .words(words)
}
