internal import NVMeProtocol

/// Get Log Page (NVMe 1.4, section 5.14).
extension Controller {
  func getLogPage(_ entry: SubmissionEntry) throws(CommandFailure) -> Progress {
    let log = LogPage(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let dwords = UInt64(entry.dword10 >> 16) | UInt64(entry.dword11 & 0xFFFF) << 16
    let count = (dwords + 1) * 4
    let offset = UInt64(entry.dword13) << 32 | UInt64(entry.dword12)
    guard offset & 3 == 0 else { throw .field(48) }
    let page = try page(of: log, namespace: entry.namespaceID)
    guard offset <= UInt64(page.count) else { throw .field(48) }
    guard count <= Self.mostBytes else { throw .field(42) }
    // Whatever is asked for behind the end of the log reads as zeros.
    var bytes = Array(page[Int(offset)...].prefix(Int(count)))
    bytes += [UInt8](repeating: 0, count: Int(count) - bytes.count)
    try give(bytes, count: count, to: entry)
    // RAE: the host wants to hear of the next event only when it reads the log again.
    if entry.dword10 & 1 << 15 == 0 { wasRead(log) }
    return .done()
  }

  private func page(of log: LogPage, namespace id: UInt32) throws(CommandFailure) -> [UInt8] {
    switch log {
    case .errors: return errors.page
    case .health:
      guard id == 0 || id == .max || namespace(id) != nil else { throw Self.noNamespace }
      return health.log(warning: criticalWarning).bytes
    case .firmwareSlots:
      var slots = FirmwareSlotLog()
      slots.active = 1
      slots[slot: 1] = Self.firmwareRevision
      return slots.bytes
    case .changedNamespaces:
      return Self.page { NumberList(changedNamespaces.sorted()).encode(into: &$0) }
    case .commandEffects: return Self.effects.bytes
    default: throw CommandFailure(Status.invalidLogPage.final, byte: 40)
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
    sendEvents()
  }

  /// Bit 1 the temperature, bit 3 read only.
  var criticalWarning: UInt8 {
    var warning: UInt8 = 0
    if HealthCounters.temperature >= features.thresholds.over
      || HealthCounters.temperature <= features.thresholds.under
    {
      warning |= 1 << 1
    }
    if namespaces.allSatisfy(\.isReadOnly) { warning |= 1 << 3 }
    return warning
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
