internal import FoundationEssentials

/// Where an export is, and how to get there: a URI of the NBD URI specification.
///
/// `nbd://host:port/export`, `nbd+unix:///export?socket=PATH`, and with TLS `nbds://` and `nbds+unix://`, by certificates
/// (`tls-certificates=FOLDER`, `tls-verify-peer=false`) or by a shared key (`tls-psk-file=FILE`, and `user@`).
public struct NBDAddress: Equatable, Sendable {
  /// Where the server listens.
  enum Place: Equatable, Sendable {
    case unix(path: String)
    case tcp(host: String, port: UInt16)
  }

  /// How a connection is encrypted.
  struct TLS: Equatable, Sendable {
    /// A folder with the certificates of the authority and of this client; nil for those of the system.
    var certificates: String?
    /// A file with shared keys, used instead of certificates.
    var keyFile: String?
    /// Whose key; else libnbd takes the name of the user of this process.
    var user: String?
    /// Whether the server's certificate has to be one of the authority's for this host.
    var verifiesPeer = true
  }

  /// Why a text is no address.
  @nonexhaustive
  public enum ParsingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It is no URI, or its scheme is not one of the four.
    case scheme(String)
    /// A port that there is not.
    case port(Int)
    /// A URI for a UNIX socket does not say which.
    case noSocket
    /// A path longer than a socket's address holds: how many bytes, and how many it may have.
    case longPath(Int, most: Int)
    /// A path that depends on where the program was started.
    case relativePath(String)
    /// A parameter that is not known, or that is for TLS only.
    case parameter(String)
    /// A name of an export longer than the protocol allows.
    case longName(Int, most: Int)

    /// What is wrong, and what to write.
    public var description: String {
      switch self {
      case .scheme(let text):
        "'\(text)' is not the address of an NBD export: nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, or with TLS nbds:// and nbds+unix://"
      case .port(let port): "there is no port \(port): 1 to 65535"
      case .noSocket: "say which socket: nbd+unix:///EXPORT?socket=PATH"
      case .longPath(let count, let most):
        "the path of the socket has \(count) bytes, and may have \(most)"
      case .relativePath(let path): "write the whole path: '\(path)' does not begin with /"
      case .parameter(let name):
        "'\(name)' is not a parameter here: socket for nbd+unix, and tls-certificates, tls-psk-file, tls-verify-peer for nbds"
      case .longName(let count, let most):
        "the name of the export has \(count) bytes, and may have \(most)"
      }
    }
  }

  let place: Place
  /// The name of the export; empty for the server's default.
  let export: String
  /// Nil without encryption.
  let tls: TLS?

  static let defaultPort: UInt16 = 10809
  /// Bytes of a path in the address of a socket.
  private static let maxPath = 107
  private static let paths = ["socket", "tls-certificates", "tls-psk-file"]
  /// NBD protocol, "values": a string has at most 4096 bytes.
  private static let maxName = 4096

  /// Reads a URI.
  public init(parsing text: String) throws(ParsingError) {
    guard let parts = URLComponents(string: text), let scheme = parts.scheme,
      ["nbd", "nbds", "nbd+unix", "nbds+unix"].contains(scheme)
    else { throw .scheme(text) }
    let isUNIX = scheme.hasSuffix("+unix")
    var tls = scheme.hasPrefix("nbds") ? TLS() : nil
    tls?.user = parts.user
    var socket: String?
    for item in parts.queryItems ?? [] {
      if Self.paths.contains(item.name), let path = item.value, !path.hasPrefix("/") {
        throw path.isEmpty ? .noSocket : .relativePath(path)
      }
      switch (item.name, item.value) {
      case ("socket", let path?) where isUNIX: socket = path
      case ("tls-certificates", let path?) where tls != nil: tls?.certificates = path
      case ("tls-psk-file", let path?) where tls != nil: tls?.keyFile = path
      case ("tls-verify-peer", "true"), ("tls-verify-peer", "1"): break
      case ("tls-verify-peer", "false") where tls != nil, ("tls-verify-peer", "0") where tls != nil:
        tls?.verifiesPeer = false
      default: throw .parameter(item.name)
      }
    }
    place = try Self.place(parts, socket, isUNIX: isUNIX)
    export = String(parts.path.drop { $0 == "/" })
    guard export.utf8.count <= Self.maxName else {
      throw .longName(export.utf8.count, most: Self.maxName)
    }
    self.tls = tls
  }

  private static func place(
    _ parts: URLComponents, _ socket: String?, isUNIX: Bool
  ) throws(ParsingError) -> Place {
    if isUNIX {
      guard let socket, !socket.isEmpty else { throw .noSocket }
      guard socket.utf8.count <= maxPath else {
        throw .longPath(socket.utf8.count, most: maxPath)
      }
      return .unix(path: socket)
    }
    let port = parts.port ?? Int(defaultPort)
    guard let number = UInt16(exactly: port), number > 0 else { throw .port(port) }
    let host = (parts.host ?? "").trimmingBrackets
    return .tcp(host: host.isEmpty ? "localhost" : host, port: number)
  }

  /// The same for every way of writing the address of an export: without users, keys and certificates.
  public var identity: String {
    switch place {
    case .unix(let path): "nbd+unix:///\(export)?socket=\(path)"
    case .tcp(let host, let port): "nbd://\(host.lowercased()):\(port)/\(export)"
    }
  }

  /// Whether the name of the host has to be looked up for each connection: the certificate is for the name.
  var needsName: Bool {
    guard case .tcp = place, let tls else { return false }
    return tls.keyFile == nil && tls.verifiesPeer
  }
}

extension String {
  /// An address of IPv6 without what a URI puts around it.
  fileprivate var trimmingBrackets: String {
    hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : self
  }
}
