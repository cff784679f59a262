internal import NVMeProtocol

/// Format NVM (NVMe 1.4, section 5.23): erases namespaces, and may change the size of their blocks.
///
/// A format waits for the I/O commands of its namespaces; ``Namespace/formatting`` keeps new ones out meanwhile.
final class FormatJob {
  private let namespaces: Namespaces
  private let lifeCycle: LifeCycle
  private let record: DiskRecord
  private let requests: CommandRequests

  init(_ io: IOCommands, _ requests: CommandRequests) {
    namespaces = io.namespaces
    lifeCycle = io.lifeCycle
    record = io.record
    self.requests = requests
  }

  /// Checks the command, and begins unless I/O commands are in flight.
  func start(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let kind = try Self.format(of: slot.entry)
    let targets = try targets(of: slot)
    let blockSize = NamespaceConfiguration.blockSizes[Int(kind)]
    guard targets.allSatisfy({ $0.offers(blockSize: blockSize) }) else {
      throw CommandError(Status.invalidFormat.final, byte: 40)
    }
    guard !targets.contains(where: \.isReadOnly) else {
      throw CommandError(Status.writeProtected.final, byte: 4)
    }
    guard !targets.contains(where: \.isFormatting) else {
      throw CommandError(.formatInProgress)
    }
    for target in targets { target.formatting = slot }
    slot.work = .format(next: 0, format: kind)
    guard !targets.contains(where: { $0.inFlight > 0 }) else { return .pending }
    return try begin(slot, next: 0, as: kind)
  }

  /// The LBA format that a command asks for, which is one of ``NamespaceConfiguration/blockSizes``.
  static func format(of entry: SubmissionEntry) throws(CommandError) -> UInt8 {
    let value = entry.dword10
    let format = UInt8(truncatingIfNeeded: value & 0xF)
    guard Int(format) < NamespaceConfiguration.blockSizes.count, value & 0x10 == 0 else {
      throw CommandError(Status.invalidFormat.final, byte: 40)
    }
    // There is neither protection information nor a key to be thrown away.
    guard value >> 5 & 7 == 0 else { throw CommandError(Status.invalidFormat.final, byte: 40) }
    guard value >> 9 & 7 <= 1 else { throw .field(41) }
    return format
  }

  private func targets(of slot: CommandSlot) throws(CommandError) -> [Namespace] {
    let id = slot.entry.namespaceID
    return id == .max ? namespaces.all : [try namespaces.named(id)]
  }

  /// The format that waited for the last I/O command of a namespace, if it can begin now.
  func takeReady(_ namespace: Namespace) -> CommandSlot? {
    guard let slot = namespace.formatting, case .format = slot.work, !slot.isSubmitted,
      lifeCycle.phase.finishesCommands, let targets = try? targets(of: slot),
      !targets.contains(where: { $0.inFlight > 0 })
    else { return nil }
    return slot
  }

  /// Formats namespaces one after the other; the one before `next` is done.
  ///
  /// The block size is written to the state file first: without it the disk could not be read.
  func begin(
    _ slot: CommandSlot, next: Int, as kind: UInt8
  ) throws(CommandError) -> Progress {
    let targets = try targets(of: slot)
    guard next < targets.count else { return .done() }
    let blockSize = NamespaceConfiguration.blockSizes[Int(kind)]
    let store = targets[next].store
    if store?.record.blockSize != blockSize {
      let waits = requests.keep(
        in: store, by: record.keeper, for: slot, then: .keepFormat(next: next, format: kind)
      ) {
        $0.blockSize = blockSize
      }
      if waits { return .pending }
      isKept(slot, next: next, as: kind)
    }
    return erase(slot, next: next, as: kind)
  }

  /// The namespace has blocks of the new size from here on, whatever becomes of the command.
  func isKept(_ slot: CommandSlot, next: Int, as kind: UInt8) {
    target(next, of: slot)?.use(blockSize: NamespaceConfiguration.blockSizes[Int(kind)])
  }

  func erase(_ slot: CommandSlot, next: Int, as kind: UInt8) -> Progress {
    guard let target = target(next, of: slot) else { return .done() }
    // The size may be in the state file already, from a command that was reset.
    target.use(blockSize: NamespaceConfiguration.blockSizes[Int(kind)])
    slot.work = .format(next: next + 1, format: kind)
    return slot.asks(
      .zero(deallocate: true, durable: true), of: target.storage, from: 0,
      count: target.erasableBytes)
  }

  private func target(_ index: Int, of slot: CommandSlot) -> Namespace? {
    guard let targets = try? targets(of: slot), index < targets.count else { return nil }
    return targets[index]
  }

  /// The command has ended or was given up: its namespaces take I/O commands again.
  func end(_ slot: CommandSlot) {
    for one in namespaces.all where one.formatting === slot { one.formatting = nil }
  }
}
