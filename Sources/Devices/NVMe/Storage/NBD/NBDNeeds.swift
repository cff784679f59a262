/// What a disk needs of the system for its connections, at the start and whenever it connects again.
public struct NBDNeeds: Equatable, Sendable {
  /// UNIX sockets that it connects to.
  public var sockets: [String] = []
  /// TCP ports that it connects to.
  public var ports: [UInt16] = []
  /// Files and folders that it reads: keys and certificates.
  public var files: [String] = []
  /// Whether it looks up names of hosts at each connection, and not only at the start: the certificate is for a name.
  public var looksUpNames = false

  /// Nothing.
  public init() {}

  /// The needs of both.
  public mutating func add(_ other: NBDNeeds) {
    sockets += other.sockets
    ports += other.ports
    files += other.files
    looksUpNames = looksUpNames || other.looksUpNames
  }
}

extension NBDAddress {
  /// What its connections need.
  public var needs: NBDNeeds {
    var needs = NBDNeeds()
    switch place {
    case .unix(let path): needs.sockets = [path]
    case .tcp(_, let port): needs.ports = [port]
    }
    guard let tls else { return needs }
    needs.files = [tls.certificates, tls.keyFile].compactMap { $0 }
    // The authorities of the system.
    if needs.files.isEmpty { needs.files = ["/etc/ssl/certs"] }
    needs.looksUpNames = needsName
    return needs
  }
}

extension NVMeConfiguration {
  /// What the connections of its exports need.
  public var nbdNeeds: NBDNeeds {
    exports.reduce(into: NBDNeeds()) { $0.add($1.address.needs) }
  }
}
