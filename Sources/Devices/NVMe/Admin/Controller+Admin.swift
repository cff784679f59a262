internal import NVMeProtocol
internal import VFIOUserServer

/// The admin command set (NVMe 1.4, section 5).
extension Controller {
  /// Starts an admin command.
  func startAdmin(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let entry = slot.entry
    // Admin commands of a PCI Express controller use PRPs.
    guard entry.flags.dataDescription == 0 else { throw .field(1) }
    switch AdminOpcode(rawValue: entry.opcode) {
    case .identify: return try identify(entry)
    case .createCompletionQueue: return try createCompletionQueue(entry)
    case .createSubmissionQueue: return try createSubmissionQueue(entry)
    case .deleteCompletionQueue: return try deleteCompletionQueue(entry)
    case .deleteSubmissionQueue: return try deleteSubmissionQueue(slot)
    case .getFeatures: return try getFeatures(entry)
    case .setFeatures: return try setFeatures(slot)
    case .getLogPage: return try getLogPage(entry)
    case .abort: return abort(entry)
    case .asynchronousEventRequest: return try requestEvent(slot)
    case .doorbellBufferConfig: return try configureDoorbellBuffer(entry)
    case .formatNVM: return try startFormat(slot)
    default: throw CommandError(Status.invalidOpcode.final, byte: 0)
    }
  }

  /// Hands bytes to the host: what does not fit into `count` is cut off.
  func give(
    _ bytes: [UInt8], from offset: Int = 0, count: UInt64, to entry: SubmissionEntry
  ) throws(CommandError) {
    var ranges: [GuestRange] = []
    let pointer = DataPointer(transfer: transfer, pageSize: pageSize, scratch: scratch)
    try pointer.resolvePages(entry, count, &ranges)
    var place = offset
    do throws(MemoryError) {
      for range in ranges {
        let piece = min(Int(clamping: range.count), bytes.count - place)
        guard piece > 0 else { return }
        try transfer.write(
          at: range.address, from: unsafe bytes.span.extracting(place..<place + piece).bytes)
        place += piece
      }
    } catch {
      throw dataFailure(error)
    }
  }

  /// Takes `count` bytes from the host.
  func take(_ count: Int, from entry: SubmissionEntry) throws(CommandError) -> [UInt8] {
    var ranges: [GuestRange] = []
    let pointer = DataPointer(transfer: transfer, pageSize: pageSize, scratch: scratch)
    try pointer.resolvePages(entry, UInt64(count), &ranges)
    var bytes: [UInt8] = []
    do throws(MemoryError) {
      for range in ranges {
        bytes += try transfer.read(at: range.address, count: Int(clamping: range.count))
      }
    } catch {
      throw dataFailure(error)
    }
    return bytes
  }

  func dataFailure(_ error: MemoryError) -> CommandError {
    if error == .stale || error == .dmaNotAllowed { isPaused = true }
    return CommandError(.dataTransferError, byte: 24)
  }

  /// Abort (section 5.1): only what the engine has not begun with, and event requests, can be.
  private func abort(_ entry: SubmissionEntry) -> Progress {
    let queue = UInt16(truncatingIfNeeded: entry.dword10)
    let command = UInt16(truncatingIfNeeded: entry.dword10 >> 16)
    let named = slots.filter { $0.queue?.id == queue && $0.entry.commandID == command }
    // A request for events that waits has no claim to its identifier: a command of the same one is meant first.
    for slot in named.filter(\.isSubmitted) + named.filter({ !$0.isSubmitted }) {
      let isBegun = slot.isSubmitted ? !cancel(slot) : !slot.isWaitingForBlocks
      guard !isBegun || events.remove(slot) else { continue }
      finish(slot, CommandError(.abortRequested))
      beginReady()
      return .done(0)
    }
    return .done(1)
  }

  /// Doorbell Buffer Config (section 5.7).
  private func configureDoorbellBuffer(
    _ entry: SubmissionEntry
  ) throws(CommandError) -> Progress {
    let (values, indexes) = (entry.dataPointer1, entry.dataPointer2)
    guard values != 0, values % pageSize == 0 else { throw .field(24) }
    guard indexes != 0, indexes % pageSize == 0 else { throw .field(32) }
    let new = ShadowDoorbells(values: values, eventIndexes: indexes)
    do throws(MemoryError) {
      for queue in turns where queue.id != 0 {
        updateTail(of: queue)
        updateHead(of: queue.completionQueue)
        try transfer.store(queue.tail, at: new.value(Doorbells.tail(of: queue.id)))
        try transfer.store(queue.tail, at: new.eventIndex(Doorbells.tail(of: queue.id)))
        let head = Doorbells.head(of: queue.completionQueue.id)
        try transfer.store(queue.completionQueue.totals.head, at: new.value(head))
        try transfer.store(queue.completionQueue.totals.head, at: new.eventIndex(head))
      }
    } catch {
      throw dataFailure(error)
    }
    shadow = new
    doorbells.share(new, transfer)
    noteMessages(at: values)
    noteMessages(at: indexes)
    return .done()
  }
}
