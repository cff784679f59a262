/// The first message in each direction: two version numbers and capabilities as JSON.
///
/// See `struct vfio_user_version` and the specification, "VFIO_USER_VERSION".
public struct VersionMessage: WireMessage {
  static let fixedSize = 4

  /// Major version, incremented for incompatible changes; must be the same on both sides.
  public var major: UInt16
  /// Minor version, incremented when messages are added; the smaller of both is used.
  public var minor: UInt16
  /// The sender's capabilities; all absent if the message has no JSON.
  public var capabilities: Capabilities

  /// Creates a message.
  public init(major: UInt16, minor: UInt16, capabilities: Capabilities = Capabilities()) {
    self.major = major
    self.minor = minor
    self.capabilities = capabilities
  }

  /// Decodes the version numbers and the JSON.
  ///
  /// The JSON ends with its only NUL byte; it may be missing or empty. Only its field
  /// `capabilities` is used, others are ignored.
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

  /// The JSON with terminating NUL; empty if no capability is set.
  private var text: [UInt8] {
    let fields = capabilities.json
    guard fields != .object([:]) else { return [] }
    return JSONValue.object(["capabilities": fields]).serialized + [0]
  }

  /// Size on the wire in bytes, including the terminating NUL byte.
  public var wireSize: Int { Self.fixedSize + text.count }

  /// Writes the version numbers and the JSON, compact and with sorted keys.
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
