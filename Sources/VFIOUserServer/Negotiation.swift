internal import SystemPackage

/// The result of the negotiation.
struct NegotiatedVersion: Equatable, Sendable {
  /// The capabilities of the client.
  let client: Capabilities
  /// The reply to the client.
  let reply: VersionMessage
}

extension ServerOptions {
  /// The protocol version that the server supports.
  static let major: UInt16 = 0
  static let minor: UInt16 = 1

  /// Answers a proposal.
  ///
  /// The reply contains only capabilities that the client has sent, with no number above the client's: QEMU
  /// refuses larger numbers, and a reply that is longer than its own message.
  ///
  /// - Throws: `EPROTONOSUPPORT` for another major version.
  func answer(_ proposal: VersionMessage) throws(Errno) -> NegotiatedVersion {
    guard proposal.major == Self.major else { throw .protocolNotSupported }
    let theirs = proposal.capabilities
    var ours = Capabilities()
    ours.maxMessageDescriptors = theirs.maxMessageDescriptors.map { min($0, maxMessageDescriptors) }
    ours.maxDataTransfer = theirs.maxDataTransfer.map { min($0, maxDataTransfer) }
    ours.maxDMAWindows = theirs.maxDMAWindows.map { min($0, maxDMAWindows) }
    ours.pageSizes = theirs.pageSizes
    ours.writeMultiple = theirs.writeMultiple
    if offersTwinSocket, theirs.twinSocket?.supported == true {
      ours.twinSocket = TwinSocket(supported: true, descriptorIndex: 0)
    }
    return NegotiatedVersion(
      client: theirs,
      reply: VersionMessage(
        major: Self.major, minor: min(proposal.minor, Self.minor), capabilities: ours))
  }
}
