/// The first message in either direction (`struct vfio_user_version`; specification,
/// "VFIO_USER_VERSION"): two numbers and a JSON text with capabilities.
public struct VersionMessage: WireMessage {
  static let fixedSize = 4

  /// Changes when messages change; both ends must have the same.
  public var major: UInt16
  /// Changes when messages are added; the smaller one counts.
  public var minor: UInt16
  /// What the sender can do; everything absent when the message has no text.
  public var capabilities: Capabilities

  /// Puts a message together.
  public init(major: UInt16, minor: UInt16, capabilities: Capabilities = Capabilities()) {
    self.major = major
    self.minor = minor
    self.capabilities = capabilities
  }

  /// Reads the numbers and the text.
  ///
  /// The text ends in its only NUL byte; it may be missing, or empty. Of its fields only
  /// `capabilities` means something, others are left alone.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.fixedSize)
    major = bytes.littleEndian(at: 0)
    minor = bytes.littleEndian(at: 2)
    let text = bytes.extracting(Self.fixedSize..<bytes.count)
    capabilities = try Self.capabilities(decoding: text)
  }

  private static func capabilities(decoding text: Span<UInt8>) throws(WireError) -> Capabilities {
    guard text.count > 0 else { return Capabilities() }
    guard text.count <= JSONValue.maxText + 1 else {
      throw .malformedVersionData(
        "JSON of \(text.count) bytes, at most \(JSONValue.maxText) are accepted")
    }
    guard text[text.count - 1] == 0 else {
      throw .malformedVersionData("the text does not end in a NUL byte")
    }
    var json: [UInt8] = []
    json.reserveCapacity(text.count)
    for index in 0..<(text.count - 1) {
      guard text[index] != 0 else {
        throw .malformedVersionData("NUL byte inside the text, at \(index)")
      }
      json.append(text[index])
    }
    guard !json.isEmpty else { return Capabilities() }
    let fields = try JSONFields(JSONValue.parse(json), name: "the text")
    guard let capabilities = try fields.object("capabilities", path: "") else {
      return Capabilities()
    }
    return try Capabilities(capabilities)
  }

  /// The JSON with its final NUL; nothing at all when there is nothing to say.
  private var text: [UInt8] {
    let fields = capabilities.json
    guard fields != .object([:]) else { return [] }
    return JSONValue.object(["capabilities": fields]).serialized + [0]
  }

  /// Bytes on the wire, the terminating NUL byte included.
  public var wireSize: Int { Self.fixedSize + text.count }

  /// Writes the numbers and the text, compact and with sorted names.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(major, at: 0)
    bytes.storeLittleEndian(minor, at: 2)
    var offset = Self.fixedSize
    for byte in text {
      bytes.storeLittleEndian(byte, at: offset)
      offset += 1
    }
  }
}
