internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Serves the commands of the protocol for one device.
///
/// Checks flags, sends error replies and obeys No_reply; each command is a short method in one of the
/// extensions. Everything runs on the session's thread.
final class CommandDispatcher: Sendable {
  let device: any Device
  let fillsReads: Bool
  let core: DeviceCore
  let options: ServerOptions
  /// Signalled when a pending unmap may be answered.
  let quiet: EventFD
  /// The handlers of DEVICE_FEATURE, by feature.
  let features: [FeatureIndex: any DeviceFeatureHandler]
  /// Nil for a device that cannot be saved.
  let migration: Migration?
  let logging: DMALogging
  var logger: Logger { options.logger }
  /// Counts the descriptors of all clients that wait to be closed, so that reconnecting does not evade the
  /// limit.
  let peerDescriptors = PeerDescriptors()
  let counters = ServerCounters()
  /// The stop of the service for a handover.
  let halt = Halt()
  /// Whether this client has sent its first message.
  let hasSpoken = Atomic(false)
  /// Maximum number of descriptors that this client accepts with one message.
  let clientDescriptorLimit = Atomic(1)
  /// Whether the log has the hint that this client's memory is not shared.
  let hasNotedUnsharedMemory = Atomic(false)

  /// Makes the device and its context.
  ///
  /// - Throws: ``PCIDescription/ValidationError``, or the error of `makeDevice`.
  init(
    _ description: PCIDescription, _ options: ServerOptions,
    features: [FeatureIndex: any DeviceFeatureHandler], quiet: EventFD,
    makeDevice: (DeviceContext) throws -> any Device
  ) throws {
    self.quiet = quiet
    core = try DeviceCore(
      for: description, guardsMemory: options.handlesMemoryFaults,
      name: options.handoverName)
    var options = options
    options.logger = options.logger.limited
    self.options = options
    device = try makeDevice(DeviceContext(core))
    fillsReads = device.fillsReads
    logging = DMALogging(core.memory)
    migration = (device as? any SavableDevice).map { [core] in
      Migration(core, $0, telling: quiet, options.logger)
    }
    let known = migration.map { [logging] in MigrationFeatures.handlers($0, logging) } ?? [:]
    self.features = known.merging(features) { _, own in own }
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
  /// A bad message gets an error reply and does not end the connection.
  ///
  /// - Returns: the pending unmap, if the message is a DMA_UNMAP that cannot be answered yet.
  func serve(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool,
    into outbox: inout Outbox
  ) -> PendingReply? {
    guard !header.flags.isReply else { return nil }
    let began = counters.begin(header.command)
    defer {
      counters.end(began)
      // Also if the command fails after the part that allowed DMA.
      if core.memory.takeDMAAllowed() { device.dmaAllowed() }
    }
    do {
      try admit(header)
      // A command that uses descriptors checks that none is missing.
      return try dispatch(header, payload, &descriptors, surplus: surplus, into: &outbox)
    } catch {
      refuse(header, error, into: &outbox)
      return nil
    }
  }

  /// Checks that apply to every command.
  ///
  /// Descriptors that a command does not need are closed, and are no error: SPDK's initiator sends one with
  /// each DMA_UNMAP.
  private func admit(_ header: Header) throws(Errno) {
    guard header.flags.reserved == 0, !header.flags.contains(.error) else {
      throw .invalidArgument
    }
  }

  /// Calls the method for the command.
  ///
  /// - Returns: the pending unmap, if the command is a DMA_UNMAP that cannot be answered yet.
  private func dispatch(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool,
    into outbox: inout Outbox
  ) throws(Errno) -> PendingReply? {
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
    case .deviceFeature: return try useFeature(header, payload, into: &outbox)
    case .migrationDataRead: try readMigrationData(header, payload, into: &outbox)
    case .migrationDataWrite: try writeMigrationData(header, payload, into: &outbox)
    case .dirtyPages: throw .notSupported
    default: throw .noFunction
    }
    return nil
  }

  /// Sends an error reply, unless the command has No_reply.
  func refuse(_ header: Header, _ error: Errno, into outbox: inout Outbox) {
    logger.debug(
      "refused a command",
      metadata: ["command": "\(header.command)", "id": "\(header.id)", "error": "\(error)"])
    counters.refusals.add()
    guard header.wantsReply else { return }
    outbox.append(header.errorReply(errno: UInt32(error.rawValue)))
  }

  /// Sends a reply, unless the command has No_reply; descriptors are sent with the reply or closed.
  func reply(
    to header: Header, _ payload: some WireEncodable,
    descriptors: consuming DescriptorList = DescriptorList(), into outbox: inout Outbox
  ) {
    guard header.wantsReply else { return }
    outbox.append(header.reply(payload: 0), payload, descriptors: descriptors)
  }

  /// Answers a command with a fixed part and data behind it, unless its sender wants no answer.
  func reply(
    to header: Header, _ payload: some FixedSizeMessage & WireEncodable, followedBy data: [UInt8],
    into outbox: inout Outbox
  ) {
    guard header.wantsReply else { return }
    let size = payload.wireSize
    outbox.append(header.reply(payload: 0), payload: size + data.count, discarding: false) {
      bytes in
      payload.encode(into: &bytes)
      for (place, byte) in data.enumerated() { bytes.storeLittleEndian(byte, at: size + place) }
    }
  }

  /// Sends a reply that is a header only.
  func acknowledge(_ header: Header, into outbox: inout Outbox) {
    guard header.wantsReply else { return }
    outbox.append(header.reply(payload: 0))
  }

  /// Decodes a payload; logs the reason of a failure, and throws `EINVAL`.
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

  /// Resets the device to its state after power-on.
  ///
  /// DMA windows and eventfds stay; levels, masks and pending bits are cleared.
  func reset() {
    core.reset()
    device.reset()
    core.memory.beginGeneration()
    migration?.deviceWasReset()
    core.memory.allowDMA()
  }

  /// Releases the memory and the eventfds of a client that has disconnected.
  func clientLeft() {
    hasNotedUnsharedMemory.store(false, ordering: .relaxed)
    defer {
      core.memory.leaveReceivingThread()
      core.worker.release()
    }
    // A client without VERSION was never reported to the device.
    guard core.memory.isConnected else { return }
    let generation = core.memory.disconnect()
    // Before the interrupts, so that work that ends now leaves no pending bit for the next client.
    device.clientLeft()
    core.interrupts.disconnect(generation)
    core.memory.beginGeneration()
    logging.stop()
    migration?.clientLeft()
  }
}
