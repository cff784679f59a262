import VFIOUserProtocol

/// Where descriptors belong, and how many.
enum DescriptorCheck {
  static func command(_ header: Header, _ message: TracedMessage) -> [Violation] {
    let count = message.descriptors.count
    switch header.command {
    case .dmaMap where count > 1:
      return [Violation(Clause.of(.dmaMap), "\(count) descriptors, at most one belongs here")]
    case .dmaMap, .deviceSetIRQs: return []
    default: return none(header, count)
    }
  }

  static func interrupts(_ set: SetInterrupts, _ count: Int) -> [Violation] {
    let clause = Clause.of(.deviceSetIRQs)
    guard set.data == .eventDescriptors else {
      return count == 0
        ? [] : [Violation(clause, "\(count) descriptors without VFIO_IRQ_SET_DATA_EVENTFD")]
    }
    guard count != 0, count != Int(set.count) else { return [] }
    return [Violation(clause, "\(count) descriptors for \(set.count) interrupts")]
  }

  /// Checks a reply without error.
  static func reply(_ header: Header, _ message: TracedMessage) -> [Violation] {
    let count = message.descriptors.count
    switch header.command {
    case .version, .deviceGetRegionIOFDs: return []
    case .deviceGetRegionInfo: return region(message, count)
    default: return none(header, count)
    }
  }

  private static func region(_ message: TracedMessage, _ count: Int) -> [Violation] {
    guard let info = try? RegionInfo(decoding: message.payload.span) else { return [] }
    let clause = Clause.of(.deviceGetRegionInfo)
    if info.flags.contains(.mappable) {
      // A reply that was too long for argsz is asked for again, and brings the descriptor then.
      let isComplete = message.wireSize - Header.wireSize >= Int(info.argumentSize)
      return count > 0 || !isComplete
        ? [] : [Violation(clause, "VFIO_REGION_INFO_FLAG_MMAP without a descriptor")]
    }
    return count == 0
      ? [] : [Violation(clause, "a descriptor without VFIO_REGION_INFO_FLAG_MMAP")]
  }

  private static func none(_ header: Header, _ count: Int) -> [Violation] {
    guard count > 0 else { return [] }
    return [
      Violation(
        Clause.of(header.command),
        "\(count) descriptor\(count == 1 ? "" : "s") with a message that has none")
    ]
  }
}
