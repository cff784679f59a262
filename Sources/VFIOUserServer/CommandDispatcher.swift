internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import Synchronization
internal import SystemPackage

/// The commands of the protocol, served for one device.
///
/// Framing, the check of the flags, the reply to a failure and the rule of No_reply are here, once;
/// each command is a short method in one of the extensions. All of it runs on the session's thread.
final class CommandDispatcher: Sendable {
  let device: any Device
  let fillsReads: Bool
  let core: DeviceCore
  let options: ServerOptions
  /// Counts when a DMA_UNMAP that waits may be answered.
  let quiet: EventFD
  /// What DEVICE_FEATURE can do, by feature.
  let features: [FeatureIndex: any DeviceFeatureHandler]
  var logger: Logger { options.logger }
  /// Counts descriptors of all clients that wait to be closed, so that connecting again gains nothing.
  let peerDescriptors = PeerDescriptors()
  /// Whether this client has sent its first message.
  let hasSpoken = Atomic(false)
  /// The most descriptors that this client takes with one message.
  let clientDescriptorLimit = Atomic(1)
  /// Whether this client's unshared memory was mentioned in the log.
  let hasNotedUnsharedMemory = Atomic(false)

  /// Makes the device, with its context.
  ///
  /// - Throws: ``PCIDescription/ValidationError``, or what `makeDevice` throws.
  init(
    _ description: PCIDescription, _ options: ServerOptions,
    features: [FeatureIndex: any DeviceFeatureHandler], quiet: EventFD,
    makeDevice: (DeviceContext) throws -> any Device
  ) throws {
    self.quiet = quiet
    core = try DeviceCore(for: description, guardsMemory: options.handlesMemoryFaults)
    var options = options
    options.logger = options.logger.limited
    self.options = options
    self.features = features
    device = try makeDevice(DeviceContext(core))
    fillsReads = device.fillsReads
    if clinux_signals_without_waiting() == 0 {
      options.logger.warning(
        """
        the kernel refuses asynchronous I/O (io_setup: fs.aio-max-nr, or a system call filter); so a client \
        can make a signal to its eventfd wait
        """)
    }
  }

  /// Serves one message.
  ///
  /// Whatever is wrong with it is answered; nothing here ends the connection.
  ///
  /// - Returns: a DMA_UNMAP that cannot be answered yet; everything else is done.
  func serve(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool,
    into outbox: inout Outbox
  ) -> PendingUnmap? {
    guard !header.flags.isReply else { return nil }
    // Also when the command fails behind the part that allowed it.
    defer { if core.memory.takeDMAAllowed() { device.dmaAllowed() } }
    do {
      try admit(header)
      // Of descriptors that were to be used none may be missing.
      return try dispatch(header, payload, &descriptors, surplus: surplus, into: &outbox)
    } catch {
      refuse(header, error, into: &outbox)
      return nil
    }
  }

  /// What every command has to pass.
  ///
  /// Descriptors that a command does not need are closed and no reason to refuse it: SPDK's initiator sends
  /// one with each DMA_UNMAP.
  private func admit(_ header: Header) throws(Errno) {
    guard header.flags.reserved == 0, !header.flags.contains(.error) else {
      throw .invalidArgument
    }
  }

  /// Calls the method for the command.
  ///
  /// - Returns: a DMA_UNMAP that cannot be answered yet.
  private func dispatch(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool,
    into outbox: inout Outbox
  ) throws(Errno) -> PendingUnmap? {
    switch header.command {
    case .dmaUnmap: return try unmapMemory(header, payload, into: &outbox)
    case .regionRead: try readRegion(header, payload, into: &outbox)
    case .regionWrite: try writeRegion(header, payload, into: &outbox)
    case .regionWriteMulti: try writeRegions(header, payload, into: &outbox)
    case .deviceGetInfo: try getInfo(header, payload, into: &outbox)
    case .deviceGetRegionInfo: try getRegionInfo(header, payload, into: &outbox)
    case .deviceGetIRQInfo: try getInterruptInfo(header, payload, into: &outbox)
    case .deviceSetIRQs:
      try setInterrupts(header, payload, &descriptors, surplus: surplus, into: &outbox)
    case .dmaMap: try mapMemory(header, payload, &descriptors, into: &outbox)
    case .deviceReset: try resetDevice(header, payload, into: &outbox)
    case .version: throw .invalidArgument  // once, and that was the first message
    case .deviceGetRegionIOFDs: try getRegionSignals(header, payload, into: &outbox)
    case .deviceFeature: try useFeature(header, payload, into: &outbox)
    case .migrationDataRead, .migrationDataWrite, .dirtyPages: throw .notSupported
    default: throw .noFunction
    }
    return nil
  }

  /// Answers a command with an error, unless its sender wants no answer.
  func refuse(_ header: Header, _ error: Errno, into outbox: inout Outbox) {
    logger.debug(
      "refused a command",
      metadata: ["command": "\(header.command)", "id": "\(header.id)", "error": "\(error)"])
    guard header.wantsReply else { return }
    outbox.append(header.errorReply(errno: UInt32(error.rawValue)))
  }

  /// Answers a command, unless its sender wants no answer; descriptors go with the answer or are closed.
  func reply(
    to header: Header, _ payload: some WireEncodable,
    descriptors: consuming DescriptorList = DescriptorList(), into outbox: inout Outbox
  ) {
    guard header.wantsReply else { return }
    outbox.append(header.reply(payload: 0), payload, descriptors: descriptors)
  }

  /// Answers a command whose reply is a header alone.
  func acknowledge(_ header: Header, into outbox: inout Outbox) {
    guard header.wantsReply else { return }
    outbox.append(header.reply(payload: 0))
  }

  /// Decodes a payload; what is wrong with it goes to the log, the peer gets `EINVAL`.
  func decode<Message: WireDecodable>(
    _ type: Message.Type, _ payload: Span<UInt8>
  ) throws(Errno) -> Message {
    do {
      return try Message(decoding: payload)
    } catch {
      logger.debug("malformed message", metadata: ["as": "\(type)", "error": "\(error)"])
      throw .invalidArgument
    }
  }

  /// Back to the state after power-on, whoever asked for it.
  ///
  /// Windows and eventfds stay; levels, masks and pending bits clear.
  func reset() {
    core.reset()
    device.reset()
    core.memory.beginGeneration()
    core.memory.allowDMA()
  }

  /// The client has gone: nothing that it lent us stays.
  func clientLeft() {
    hasNotedUnsharedMemory.store(false, ordering: .relaxed)
    defer {
      core.memory.leaveReceivingThread()
      core.worker.release()
    }
    // One that never said what it is was no client to the device.
    guard core.memory.isConnected else { return }
    let generation = core.memory.disconnect()
    // Before the interrupts, so that what ends just now leaves no pending bit for the next client.
    device.clientLeft()
    core.interrupts.disconnect(generation)
    core.memory.beginGeneration()
  }
}
