public import LinuxPrimitives

/// What a server says of an export when a client has connected.
struct NBDFacts: Equatable, Codable, Sendable {
  /// Bytes.
  var size: UInt64
  var isReadOnly: Bool
  var canFlush: Bool
  var canFUA: Bool
  var canTrim: Bool
  var canZero: Bool
  /// Whether a flush on one connection is about what was written on the others too.
  var canMultiConn: Bool
  /// What requests have to be multiples of; bytes, 1 when the server does not say.
  var minimum: Int
  /// What requests should be multiples of; bytes.
  var preferred: Int
  /// Most bytes of a read or a write.
  var maximum: Int

  /// What libnbd and most servers take in one request.
  static let mostBytes = 32 << 20

  /// Takes over what a server has said, which may be nonsense.
  ///
  /// - Parameters:
  ///   - size: bytes of the export.
  ///   - minimum: 0 when the server does not say, as for the other two.
  /// - Throws: ``NBDError``, for what no namespace can be made of.
  init(
    size: Int64, minimum: Int64, preferred: Int64, maximum: Int64, isReadOnly: Bool, canFlush: Bool,
    canFUA: Bool, canTrim: Bool, canZero: Bool, canMultiConn: Bool
  ) throws(NBDError) {
    guard size > 0 else { throw .size(size) }
    // A power of two up to 64 KiB (NBD protocol, "Block size constraints"); more than a block of the namespace is of no
    // use.
    guard minimum <= 0 || minimum & (minimum - 1) == 0 && minimum <= 65536 else {
      throw .blockSize(minimum)
    }
    self.size = UInt64(size)
    self.minimum = Int(max(1, minimum))
    let best = max(4096, Int64(self.minimum))
    let isSound = preferred > best && preferred & (preferred - 1) == 0
    self.preferred = Int(isSound ? min(preferred, Int64(Self.mostBytes)) : best)
    let most = maximum <= 0 ? Int64(Self.mostBytes) : min(maximum, Int64(Self.mostBytes))
    self.maximum = Int(most / best * best)
    guard self.maximum > 0 else { throw .blockSize(maximum) }
    self.isReadOnly = isReadOnly
    self.canFlush = canFlush
    self.canFUA = canFUA
    self.canTrim = canTrim
    self.canZero = canZero
    self.canMultiConn = canMultiConn
  }
}

/// Why there is no connection to an export, or none that can be used.
@nonexhaustive
public enum NBDError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The package was built without libnbd.
  case notBuilt
  /// The name of the host leads nowhere; what the resolver says.
  case unknownHost(String, String)
  /// What libnbd says, and the errno, or 0.
  case connection(String, code: Int32)
  /// The server did not answer in time.
  case noAnswer(seconds: Int)
  /// The export has no bytes, or more than can be.
  case size(Int64)
  /// Blocks of so many bytes are nothing that a namespace can be made of.
  case blockSize(Int64)
  /// The server has something else now than it had: what is different.
  case changed(String)
  /// The system has no thread or descriptor for it.
  case system(SystemCallError)

  /// The cause, in words for a user.
  public var description: String {
    switch self {
    case .notBuilt:
      "this build has no NBD: install libnbd-dev and build again (swift package clean)"
    case .unknownHost(let host, let reason): "the host \(host) is not known: \(reason)"
    case .connection(let text, _): text
    case .noAnswer(let seconds): "the server did not answer within \(seconds) seconds"
    case .size(let size):
      size == 0
        ? "the export has no bytes" : "the export has a size that there is not: \(size) bytes"
    case .blockSize(let size): "the server wants blocks of \(size) bytes"
    case .changed(let what): "it is another export than before: \(what)"
    case .system(let failure): "\(failure)"
    }
  }
}
