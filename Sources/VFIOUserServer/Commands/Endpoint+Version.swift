internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Endpoint {
  /// The first message, which has to be `VFIO_USER_VERSION`.
  ///
  /// - Returns: whether an agreement was reached; the answer is in the outbox either way.
  func negotiate(
    _ header: Header, _ payload: Span<UInt8>, hasDescriptors: Bool, into outbox: inout Outbox
  ) -> Bool {
    do throws(Errno) {
      let agreement = try agree(header, payload, hasDescriptors: hasDescriptors)
      outbox.append(header.reply(payload: 0), agreement.reply)
      return true
    } catch {
      if !header.flags.isReply { outbox.append(header.errorReply(errno: UInt32(error.rawValue))) }
      return false
    }
  }

  private func agree(
    _ header: Header, _ payload: Span<UInt8>, hasDescriptors: Bool
  ) throws(Errno) -> Agreement {
    guard header.command == .version, !header.flags.isReply, header.flags.reserved == 0,
      !header.flags.contains(.noReply), !hasDescriptors
    else {
      logger.warning(
        "a client does not begin with VERSION; is it a vfio-user client?",
        metadata: ["command": "\(header.command)"])
      throw .invalidArgument
    }
    let proposal: VersionMessage
    do {
      proposal = try VersionMessage(decoding: payload)
    } catch {
      logger.warning("a client's VERSION is malformed", metadata: ["error": "\(error)"])
      throw .invalidArgument
    }
    do {
      let agreement = try options.answer(proposal)
      logger.info(
        "a client connected", metadata: ["version": "\(proposal.major).\(proposal.minor)"])
      return agreement
    } catch {
      logger.warning(
        "a client speaks another version, we speak 0.1",
        metadata: ["version": "\(proposal.major).\(proposal.minor)"])
      throw error
    }
  }
}
