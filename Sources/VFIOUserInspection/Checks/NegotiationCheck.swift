import VFIOUserProtocol

/// What client and server have agreed upon (specification, "VFIO_USER_VERSION").
struct NegotiationCheck: Sendable {
  private enum Phase: Sendable { case nothing, asked, agreed }

  private var phase = Phase.nothing
  private var proposal: VersionMessage?
  private var answer: VersionMessage?
  /// Whether the server has passed a second socket for its commands.
  private(set) var hasTwin = false

  /// `max_msg_fds` of the receiver, the default until it is known.
  func descriptorLimit(of direction: MessageDirection) -> Int {
    let receiver = direction == .toServer ? answer : proposal
    return receiver?.capabilities.effectiveMaxMessageDescriptors
      ?? Limits.defaultMessageDescriptors
  }

  /// `max_data_xfer_size` of the receiver of a read or write.
  func transferLimit(of receiver: Command.Role) -> UInt32 {
    let side = receiver == .server ? answer : proposal
    return side?.capabilities.effectiveMaxDataTransfer ?? Limits.defaultDataTransfer
  }

  var mostWindows: Int { answer?.capabilities.effectiveMaxDMAWindows ?? Limits.defaultDMAWindows }

  /// The smallest of the server's `pgsizes`, a power of two.
  var smallestPage: UInt64 {
    let sizes = answer?.capabilities.effectivePageSizes ?? Limits.defaultPageSizes
    return sizes == 0 ? 1 : sizes & (~sizes &+ 1)
  }

  mutating func command(_ header: Header, _ checked: CheckedMessage) -> [Violation] {
    let stream = checked.message.stream
    if header.command == .version {
      defer { phase = phase == .nothing ? .asked : phase }
      if phase == .nothing {
        proposal = try? VersionMessage(decoding: checked.message.payload.span)
        return []
      }
      return [Violation(Clause.version, "VERSION again; it is the first message and comes once")]
    }
    var findings: [Violation] = []
    if phase == .nothing, !stream.isTwin {
      findings.append(Violation(Clause.version, "\(header.command) before VERSION"))
      phase = .asked
    }
    if header.command == .regionWriteMulti, answer?.capabilities.effectiveWriteMultiple != true {
      findings.append(
        Violation(Clause.version, "the server has not agreed to write_multiple"))
    }
    let isOfServer = header.command.sender == .server
    if hasTwin, isOfServer, !stream.isTwin, stream.direction == .toClient {
      findings.append(
        Violation(Clause.socket, "\(header.command) on the main socket, there is a twin socket"))
    } else if stream.isTwin, !isOfServer, header.command.sender != nil {
      findings.append(
        Violation(Clause.socket, "\(header.command) on the twin socket"))
    }
    return findings
  }

  mutating func reply(_ header: Header, _ checked: CheckedMessage) -> [Violation] {
    guard header.command == .version, phase != .agreed, !header.flags.contains(.error) else {
      return []
    }
    phase = .agreed
    guard let reply = try? VersionMessage(decoding: checked.message.payload.span) else {
      return []
    }
    answer = reply
    guard let proposal else { return [] }
    return compare(reply, proposal, descriptors: checked.message.descriptors.count)
  }

  private mutating func compare(
    _ reply: VersionMessage, _ proposal: VersionMessage, descriptors: Int
  ) -> [Violation] {
    var findings: [Violation] = []
    func find(_ isWrong: Bool, _ text: String) {
      if isWrong { findings.append(Violation(Clause.version, text)) }
    }
    find(
      reply.major != proposal.major,
      "major version \(reply.major), proposed was \(proposal.major)")
    find(
      reply.minor > proposal.minor,
      "minor version \(reply.minor), proposed was only \(proposal.minor)")
    let twin = reply.capabilities.effectiveTwinSocket
    var surplus = Self.names(reply.capabilities).subtracting(Self.names(proposal.capabilities))
    if twin.supported { surplus.remove("twin_socket") }
    find(
      !surplus.isEmpty,
      "capabilities that the client has not proposed: \(surplus.sorted().joined(separator: ", "))")
    guard twin.supported else { return findings }
    find(
      !proposal.capabilities.effectiveTwinSocket.supported,
      "a twin socket that the client does not support")
    let index = twin.descriptorIndex
    hasTwin = index.map { $0 < descriptors } ?? false
    find(
      !hasTwin,
      "fd_index \(index.map { "\($0)" } ?? "is missing"), with \(descriptors) descriptors")
    return findings
  }

  private static func names(_ capabilities: Capabilities) -> Set<String> {
    var names = Set(capabilities.unknownNames)
    if capabilities.maxMessageDescriptors != nil { names.insert("max_msg_fds") }
    if capabilities.maxDataTransfer != nil { names.insert("max_data_xfer_size") }
    if capabilities.maxDMAWindows != nil { names.insert("max_dma_maps") }
    if capabilities.pageSizes != nil { names.insert("pgsizes") }
    if capabilities.twinSocket != nil { names.insert("twin_socket") }
    if capabilities.writeMultiple != nil { names.insert("write_multiple") }
    if capabilities.migration != nil { names.insert("migration") }
    return names
  }
}
