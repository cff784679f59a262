internal import LinuxPrimitives

/// The parts of a region with descriptors for accesses, which a VMM installs in its hypervisor or uses
/// itself.
public struct RegionIODescriptors: Sendable {
  /// One part.
  public struct Part: Sendable {
    /// Offset of the part in the region.
    public let offset: UInt64
    /// Size in bytes; 0 for accesses of any size.
    public let size: UInt64
    /// Flags for installing the descriptor; their meaning depends on the channel.
    public let flags: SubRegionFlags
    /// The kind of descriptor.
    public let channel: Channel
  }

  /// The kind of descriptor of a part.
  public enum Channel: Sendable {
    /// An eventfd counts the writes (ioeventfd): all, or those of one value.
    case event(EventFD, matching: UInt64?)
    /// A socket carries reads and writes (ioregionfd), each with `userData` for the device.
    case accesses(SharedDescriptor, userData: UInt64)
    /// A kind that this version does not support.
    case other(SubRegionKind, SharedDescriptor)
  }

  /// The region.
  public let region: RegionIndex
  /// Its parts, in the device's order.
  public let parts: [Part]

  /// The eventfd that a write of `size` bytes has to signal, nil if the write needs a message.
  public func counter(at offset: UInt64, size: Int, value: UInt64) -> EventFD? {
    for part in parts {
      guard case .event(let counter, let wanted) = part.channel, part.offset == offset,
        part.size == 0 || part.size == UInt64(size), wanted == nil || wanted == value
      else { continue }
      return counter
    }
    return nil
  }
}

/// A descriptor with several users; closed with the last of them.
public final class SharedDescriptor: Sendable {
  /// The descriptor.
  public let descriptor: OwnedDescriptor

  /// Takes ownership of a descriptor.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

extension Client {
  /// The parts of a region with descriptors for accesses (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`).
  ///
  /// - Throws: ``ClientError/implausibleReply(_:_:)`` for parts outside of the region, missing descriptors,
  ///   and descriptors that are not eventfds.
  public func signals(
    of region: Region, timeout: Duration? = nil
  ) throws(ClientError) -> RegionIODescriptors {
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    let most = maxReplyDescriptors
    let usual = Exchanges.regionSignals(region, room: Exchanges.usualRoom, most)
    let first = try connection.perform(usual, before: deadline)
    if let signals = first.signals { return signals }
    let room = try Exchanges.room(first.needed, .deviceGetRegionIOFDs)
    let again = Exchanges.regionSignals(region, room: room, most)
    return try connection.perform(again, before: deadline).complete()
  }

  /// The parts of a region with descriptors for accesses; suspends the task.
  public func signals(
    of region: Region, timeout: Duration? = nil
  ) async throws(ClientError) -> RegionIODescriptors {
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    let most = maxReplyDescriptors
    let usual = Exchanges.regionSignals(region, room: Exchanges.usualRoom, most)
    let first = try await connection.perform(usual, before: deadline)
    if let signals = first.signals { return signals }
    let room = try Exchanges.room(first.needed, .deviceGetRegionIOFDs)
    let again = Exchanges.regionSignals(region, room: room, most)
    return try await connection.perform(again, before: deadline).complete()
  }

  /// Posts a number: through an eventfd if the device has one for this write, else with a message.
  public func post<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ signals: RegionIODescriptors, at offset: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    if let counter = signals.counter(for: number, at: offset) { return counter.signal() }
    try post(number, signals.region, at: offset, timeout: timeout)
  }

  /// Posts a number, through an eventfd if the device has one for this write; suspends the task while too
  /// much waits for the socket.
  public func post<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ number: Number, _ signals: RegionIODescriptors, at offset: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    if let counter = signals.counter(for: number, at: offset) { return counter.signal() }
    try await post(number, signals.region, at: offset, timeout: timeout)
  }

  private var maxReplyDescriptors: Int { options.proposal.effectiveMaxMessageDescriptors }
}

extension RegionIODescriptors {
  fileprivate func counter<Number: FixedWidthInteger>(
    for number: Number, at offset: UInt64
  ) -> EventFD? {
    let size = MemoryLayout<Number>.size
    let mask = UInt64.max >> UInt64(max(0, 64 - 8 * size))
    return counter(at: offset, size: size, value: UInt64(truncatingIfNeeded: number) & mask)
  }
}

/// A reply to DEVICE_GET_REGION_IO_FDS.
struct SignalsAnswer: Sendable {
  /// The parts, nil if they did not fit into the reply.
  let signals: RegionIODescriptors?
  /// Size of the complete reply in bytes.
  let needed: UInt32

  /// Queries the parts again with the size that the server needs.
  func complete() throws(ClientError) -> RegionIODescriptors {
    guard let signals else {
      throw .implausibleReply(.deviceGetRegionIOFDs, "it needs \(needed) bytes by now")
    }
    return signals
  }
}

extension Exchanges {
  /// Queries the parts with room for `room` bytes of reply.
  static func regionSignals(
    _ region: Region, room: Int, _ maxDescriptors: Int
  ) -> Exchange<SignalsAnswer> {
    let command = Command.deviceGetRegionIOFDs
    let request = RegionIOFDsRequest(index: region.index, argumentSize: UInt32(room))
    let (index, size) = (region.index, region.size)
    return Exchange(command, request, limit: room, descriptorLimit: maxDescriptors) {
      (payload, descriptors) throws(ClientError) in
      let reply = try decode(RegionIOFDsReply.self, payload, of: command)
      guard reply.index == index else {
        throw .implausibleReply(command, "it is about region \(reply.index.rawValue)")
      }
      guard reply.isComplete else {
        return SignalsAnswer(signals: nil, needed: reply.argumentSize)
      }
      var arrived: [ArrivedDescriptor] = []
      while let descriptor = descriptors.takeFirst() {
        arrived.append(ArrivedDescriptor(descriptor))
      }
      var parts: [RegionIODescriptors.Part] = []
      for part in reply.subRegions {
        parts.append(try RegionIODescriptors.Part(part, in: size, arrived))
      }
      return SignalsAnswer(
        signals: RegionIODescriptors(region: index, parts: parts), needed: reply.argumentSize)
    }
  }
}

/// A descriptor of a reply; several parts may share it.
private final class ArrivedDescriptor {
  let isEvent: Bool
  /// The eventfd, one object for all parts.
  let counter: EventFD?
  let shared: SharedDescriptor?

  init(_ descriptor: consuming OwnedDescriptor) {
    isEvent = EventFD.isCounter(descriptor)
    if isEvent {
      counter = EventFD(adopting: descriptor)
      shared = nil
    } else {
      counter = nil
      shared = SharedDescriptor(descriptor)
    }
  }
}

extension RegionIODescriptors.Part {
  fileprivate init(
    _ part: SubRegion, in regionSize: UInt64, _ arrived: [ArrivedDescriptor]
  ) throws(ClientError) {
    let (end, wraps) = part.offset.addingReportingOverflow(part.size)
    guard !wraps, end <= regionSize, part.offset < regionSize else {
      throw .implausibleReply(
        .deviceGetRegionIOFDs,
        "\(part.size) bytes at \(part.offset) signal, in a region of \(regionSize)")
    }
    guard let place = Int(exactly: part.descriptorIndex), place < arrived.count else {
      throw .implausibleReply(
        .deviceGetRegionIOFDs,
        "descriptor \(part.descriptorIndex) of \(arrived.count) that came")
    }
    offset = part.offset
    size = part.size
    flags = part.flags
    channel = try Self.channel(part, arrived[place])
  }

  private static func channel(
    _ part: SubRegion, _ arrived: ArrivedDescriptor
  ) throws(ClientError) -> RegionIODescriptors.Channel {
    switch (part.kind, arrived.counter, arrived.shared) {
    case (.event, let counter?, _):
      return .event(counter, matching: part.flags.contains(.dataMatch) ? part.value : nil)
    case (.region, _, let socket?): return .accesses(socket, userData: part.value)
    case (.event, _, _), (.region, _, _):
      throw .implausibleReply(
        .deviceGetRegionIOFDs,
        "descriptor \(part.descriptorIndex) is not of the kind that it is said to be")
    case (let kind, let counter?, _):
      do throws(SystemCallError) {
        return .other(kind, SharedDescriptor(try counter.descriptor.duplicate()))
      } catch {
        throw .system(error)
      }
    case (let kind, _, let shared?): return .other(kind, shared)
    case (let kind, nil, nil):
      throw .implausibleReply(.deviceGetRegionIOFDs, "no descriptor for kind \(kind.rawValue)")
    }
  }
}
