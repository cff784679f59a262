internal import NVMeProtocol

/// Get Log Page (NVMe 1.4, section 5.14).
extension AdminCommands {
  func getLogPage(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let log = LogPage(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let dwords = UInt64(entry.dword10 >> 16) | UInt64(entry.dword11 & 0xFFFF) << 16
    let count = (dwords + 1) * 4
    let offset = UInt64(entry.dword13) << 32 | UInt64(entry.dword12)
    guard offset & 3 == 0 else { throw .field(48) }
    // All logs are the controller's, none a namespace's: LPA bit 0 is clear (5.14.1.2).
    guard [0, .max].contains(entry.namespaceID) else { throw .field(4) }
    let page = try page(of: log)
    guard offset <= UInt64(page.count) else { throw .field(48) }
    guard count <= IOCommands.maxBytes else { throw .field(42) }
    // Whatever is asked for behind the end of the log reads as zeros.
    var bytes = Array(page[Int(offset)...].prefix(Int(count)))
    bytes += [UInt8](repeating: 0, count: Int(count) - bytes.count)
    try data.give(bytes, count: count, to: entry)
    // RAE: the event stays masked until the host reads the log again.
    if entry.dword10 & 1 << 15 == 0 { wasRead(log) }
    return .done()
  }

  private func page(of log: LogPage) throws(CommandError) -> [UInt8] {
    switch log {
    case .errors: return record.errors.page
    case .health: return record.health.log(warning: criticalWarning).bytes
    case .firmwareSlots:
      var slots = FirmwareSlotLog()
      slots.active = 1
      slots[slot: 1] = Self.firmwareRevision
      return slots.bytes
    case .changedNamespaces:
      return Self.page { NumberList(changedNamespaces.sorted()).encode(into: &$0) }
    case .commandEffects: return Self.effects.bytes
    default: throw CommandError(Status.invalidLogPage.final, byte: 40)
    }
  }

  private func wasRead(_ log: LogPage) {
    switch log {
    case .errors: events.allow(.error)
    case .health: events.allow(.health)
    case .changedNamespaces:
      changedNamespaces = []
      events.allow(.notice)
    default: break
    }
  }

  /// Bit 1 is the temperature.
  ///
  /// Bit 3 is never set: it says that the media has worn out. A namespace that its owner lends for reading only is
  /// write protected, and says so itself.
  var criticalWarning: UInt8 {
    let isWithin =
      HealthCounters.temperature < features.thresholds.over
      && HealthCounters.temperature > features.thresholds.under
    return isWithin ? 0 : 1 << 1
  }

  static let effects: CommandEffectsLog = {
    var log = CommandEffectsLog()
    for opcode: AdminOpcode in [
      .deleteSubmissionQueue, .createSubmissionQueue, .getLogPage, .deleteCompletionQueue,
      .createCompletionQueue, .identify, .abort, .setFeatures, .getFeatures,
      .asynchronousEventRequest, .doorbellBufferConfig,
    ] {
      log[opcode] = .supported
    }
    log[AdminOpcode.formatNVM] = [
      .supported, .changesData, .changesNamespace, .aloneInNamespace,
    ]
    for opcode: IOOpcode in [.flush, .read, .compare, .verify] { log[opcode] = .supported }
    for opcode: IOOpcode in [.write, .writeZeroes, .datasetManagement] {
      log[opcode] = [.supported, .changesData]
    }
    return log
  }()
}
