internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// A state on its way to a client.
///
/// With PRE_COPY the memory behind regions goes first, while the device runs; when it has stopped, what has changed
/// in that memory follows, and everything else. Clients change memory that they have mapped without a word, so what
/// has changed is found by comparing with a copy.
struct OutgoingState {
  private var writer: StateWriter
  /// The memory of each region as it was sent; empty without PRE_COPY.
  private var sent: [RegionIndex: StateFile] = [:]
  private var place: UInt64 = 0

  /// From how much memory on PRE_COPY is worth its rounds.
  static let preCopyThreshold: UInt64 = 1 << 20

  /// Whether a device has so much memory behind its regions that it is worth sending it in advance.
  static func isWorthwhileInAdvance(_ transfer: DeviceStateTransfer) -> Bool {
    transfer.core.regions.memories.reduce(0) { $0 + $1.memory.size } >= preCopyThreshold
  }

  /// Nothing is sent in advance.
  init(_ transfer: DeviceStateTransfer) throws(StateError) {
    writer = try StateWriter(limit: transfer.limit)
  }

  /// The memory of a device that runs.
  init(inAdvance transfer: DeviceStateTransfer) throws(StateError) {
    writer = try StateWriter(limit: transfer.limit)
    for (region, memory) in transfer.core.regions.memories {
      sent[region] = try memory.copy()
      try memory.save(as: RegionMemory.sectionName(region), into: &writer)
    }
  }

  /// Adds all that is missing, of a device that is suspended; nothing if something cannot be saved.
  mutating func finish(_ transfer: DeviceStateTransfer) throws(StateError) {
    let (before, size) = (self, writer.file.size)
    do throws(StateError) {
      try addRest(transfer)
    } catch {
      self = before
      writer.file.cut(to: size)
      throw error
    }
  }

  private mutating func addRest(_ transfer: DeviceStateTransfer) throws(StateError) {
    for (region, memory) in transfer.core.regions.memories {
      try memory.save(
        as: RegionMemory.sectionName(region), into: &writer, unlike: sent[region])
    }
    try transfer.save(into: &writer)
    sent = [:]
  }

  /// Whether the state ends with the next bytes, at most so many.
  func isLast(_ count: Int) -> Bool { UInt64(count) >= writer.file.size - place }

  /// Where the next bytes are, at most so many.
  mutating func next(_ count: Int) -> (file: StateFile, range: Range<UInt64>) {
    let end = min(place + UInt64(count), writer.file.size)
    defer { place = end }
    return (writer.file, place..<end)
  }
}
