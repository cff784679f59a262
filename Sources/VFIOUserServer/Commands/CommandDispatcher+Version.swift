internal import VFIOUserTransport
internal import Logging
internal import Synchronization
internal import SystemPackage

extension CommandDispatcher {
  /// Serves the first message, which has to be `VFIO_USER_VERSION`.
  ///
  /// - Parameter sender: of the main socket, for DMA messages if there is no twin socket.
  /// - Returns: the channel for DMA messages, nil if the versions do not match; the reply is in the outbox in
  ///   both cases.
  func negotiate(
    _ header: Header, _ payload: Span<UInt8>, _ sender: MessageSender,
    into outbox: inout Outbox
  ) -> DMAChannel? {
    do throws(Errno) {
      let agreement = try agree(header, payload)
      var descriptors = DescriptorList()
      var reply = agreement.reply
      clientDescriptorLimit.store(
        agreement.client.effectiveMaxMessageDescriptors, ordering: .relaxed)
      let twin = reply.capabilities.twinSocket == nil ? nil : makeTwin(&descriptors)
      if twin == nil { reply.capabilities.twinSocket = nil }
      outbox.append(header.reply(payload: 0), reply, descriptors: descriptors)
      return DMAChannel(
        twin.map { MessageSender($0) } ?? sender, twin: twin != nil, client: agreement.client,
        options)
    } catch {
      if !header.flags.isReply { outbox.append(header.errorReply(errno: UInt32(error.rawValue))) }
      return nil
    }
  }

  /// Makes the twin socket; the client's end is sent with the reply.
  private func makeTwin(_ descriptors: inout DescriptorList) -> MessageSocket? {
    do throws(SystemCallError) {
      let (ours, theirs) = try MessageSocket.pair(
        peer: PeerDescriptors(countedBy: peerDescriptors))
      descriptors.append(try theirs.descriptor.duplicate())
      return ours
    } catch {
      logger.warning("no twin socket", metadata: ["error": "\(error)"])
      return nil
    }
  }

  private func agree(_ header: Header, _ payload: Span<UInt8>) throws(Errno) -> NegotiatedVersion {
    guard header.command == .version, !header.flags.isReply, header.flags.reserved == 0,
      header.wantsReply
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
      logger.log(
        level: options.clientLogLevel, "a client connected",
        metadata: ["version": "\(proposal.major).\(proposal.minor)"])
      return agreement
    } catch {
      logger.warning(
        "a client speaks another version, we speak 0.1",
        metadata: ["version": "\(proposal.major).\(proposal.minor)"])
      throw error
    }
  }
}
