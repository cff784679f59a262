internal import NVMeProtocol

/// Format NVM (NVMe 1.4, section 5.23): everything goes, and blocks may get another size.
extension Controller {
  func startFormat(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let value = slot.entry.dword10
    let format = UInt8(truncatingIfNeeded: value & 0xF)
    guard Int(format) < NamespaceConfiguration.blockSizes.count, value & 0x10 == 0 else {
      throw CommandError(Status.invalidFormat.final, byte: 40)
    }
    // There is neither protection information nor a key to be thrown away.
    guard value >> 5 & 7 == 0 else { throw CommandError(Status.invalidFormat.final, byte: 40) }
    guard value >> 9 & 7 <= 1 else { throw .field(41) }
    let targets = try formatTargets(slot.entry.namespaceID)
    let blockSize = NamespaceConfiguration.blockSizes[Int(format)]
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
    slot.work = .format(next: 0, format: format)
    guard !targets.contains(where: { $0.inFlight > 0 }) else { return .pending }
    return try self.format(slot, from: 0, as: format)
  }

  private func formatTargets(_ id: UInt32) throws(CommandError) -> [Namespace] {
    if id == .max { return namespaces }
    guard let namespace = namespace(id) else { throw Self.noNamespace }
    return [namespace]
  }

  /// The last I/O command of a namespace that is to be formatted is done.
  func formatGoesOn(_ namespace: Namespace) {
    guard let slot = namespace.formatting, case .format(let next, let format) = slot.work,
      !slot.isSubmitted, stage == .enabled || stage == .quiescing(.shutDown),
      let targets = try? formatTargets(slot.entry.namespaceID),
      !targets.contains(where: { $0.inFlight > 0 })
    else { return }
    do throws(CommandError) {
      if case .done = try self.format(slot, from: next, as: format) { finish(slot, nil) }
    } catch {
      finish(slot, error)
    }
  }

  /// Erases namespaces one after the other; the one before `next` is done.
  ///
  /// The size of blocks is written down first: a disk that does not know it any more cannot be read.
  func format(
    _ slot: CommandSlot, from next: Int, as format: UInt8
  ) throws(CommandError) -> Progress {
    let targets = try formatTargets(slot.entry.namespaceID)
    guard next < targets.count else { return .done() }
    let blockSize = NamespaceConfiguration.blockSizes[Int(format)]
    let store = targets[next].store
    if store?.record.blockSize != blockSize {
      let waits = keep(in: store, for: slot, then: .keepFormat(next: next, format: format)) {
        $0.blockSize = blockSize
      }
      if waits { return .pending }
      formatIsKept(slot, next: next, format: format)
    }
    return try erase(slot, next: next, format: format)
  }

  /// The namespace has blocks of the new size from here on, whatever becomes of the command.
  func formatIsKept(_ slot: CommandSlot, next: Int, format: UInt8) {
    guard let targets = try? formatTargets(slot.entry.namespaceID), next < targets.count else {
      return
    }
    targets[next].use(blockSize: NamespaceConfiguration.blockSizes[Int(format)])
  }

  func erase(
    _ slot: CommandSlot, next: Int, format: UInt8
  ) throws(CommandError) -> Progress {
    let target = try formatTargets(slot.entry.namespaceID)[next]
    // Also if this size was written down before, by a command that was reset then.
    target.use(blockSize: NamespaceConfiguration.blockSizes[Int(format)])
    let request = slot.request
    request.operation = .zero(deallocate: true, durable: true)
    request.file = target.file
    request.offset = 0
    request.count = target.erasableBytes
    slot.work = .format(next: next + 1, format: format)
    return try carryOut(slot)
  }

  /// The command is done, well or not, or nobody waits for it any more: what it kept others out of is theirs again.
  func endFormat(_ slot: CommandSlot) {
    for namespace in namespaces where namespace.formatting === slot { namespace.formatting = nil }
  }
}
