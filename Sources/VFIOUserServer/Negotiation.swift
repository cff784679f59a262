internal import SystemPackage

/// What both sides agreed on in their first messages.
struct NegotiatedVersion: Equatable, Sendable {
  /// What the client receives at most.
  let client: Capabilities
  /// The answer to the client.
  let reply: VersionMessage
}

extension ServerOptions {
  /// The highest version of the protocol that we speak.
  static let major: UInt16 = 0
  static let minor: UInt16 = 1

  /// Answers a proposal.
  ///
  /// The reply names only what the client named, with no number above the client's: QEMU refuses
  /// larger ones, and gives up on a reply that is longer than its own message.
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
