internal import NVMeProtocol

/// Identify (NVMe 1.4, section 5.15).
extension AdminCommands {
  func identify(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let selector = IdentifySelector(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let id = entry.namespaceID
    let page: [UInt8]
    switch selector {
    case .namespace, .allocatedNamespace:
      // What all namespaces have in common (FFFFFFFFh) is known to those that manage namespaces only (5.15.2.1).
      page = try namespaces.named(id).identity.bytes
    case .controller: page = describeController().bytes
    case .activeNamespaces, .allocatedNamespaces: page = try listNamespaces(after: id)
    case .namespaceIdentifiers: page = try nameNamespace(id)
    case .controllersOfNamespace:
      _ = try namespaces.named(id)
      page = listControllers(from: entry)
    case .controllers: page = listControllers(from: entry)
    default: throw .field(40)
    }
    try data.give(page, count: 4096, to: entry)
    return .done()
  }

  private func listNamespaces(after id: UInt32) throws(CommandError) -> [UInt8] {
    guard id < 0xFFFF_FFFE else { throw Namespaces.unknown }
    return Self.page { bytes in
      NumberList(namespaces.all.map(\.id).filter { $0 > id }).encode(into: &bytes)
    }
  }

  private func nameNamespace(_ id: UInt32) throws(CommandError) -> [UInt8] {
    let namespace = try namespaces.named(id)
    return Self.page { bytes in
      NamespaceIdentifiers(
        globallyUniqueID: namespace.globallyUniqueID, uuid: namespace.uuid
      ).encode(into: &bytes)
    }
  }

  /// The list of controllers from a number on: us, number 0.
  private func listControllers(from entry: SubmissionEntry) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    if entry.dword10 >> 16 == 0 { page[0] = 1 }
    return page
  }

  static func page(_ body: (inout MutableRawSpan) -> Void) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    var span = page.mutableSpan
    // Sound: bytes have no invalid values.
    var raw = unsafe span.mutableBytes
    body(&raw)
    return page
  }

  private func describeController() -> IdentifyController {
    var identity = IdentifyController()
    identity.vendor = NVMeDevice.vendor
    identity.subsystemVendor = NVMeDevice.vendor
    identity.serialNumber = record.identity.serialNumber
    identity.modelNumber = options.modelNumber
    identity.firmwareRevision = Self.firmwareRevision
    identity.arbitrationBurst = 5
    identity.maximumTransfer = UInt8((IOCommands.maxBytes / 4096).trailingZeroBitCount)
    identity.version = .v1_4
    identity.controllerType = 1
    // A shutdown waits for the file to be flushed: as long as CAP.TO gives the disk for other things.
    identity.shutdownLatency = 30_000_000
    identity.optionalEvents = EventConfiguration.namespaceAttributes.rawValue
    // Host identifiers of 128 bits.
    identity.attributes = 1
    identity.adminCommands = [.format, .doorbellBuffer]
    identity.abortLimitZeroBased = 3
    identity.eventRequestLimitZeroBased = UInt8(EventRequests.maxRequests - 1)
    identity.firmwareUpdates = 0b0000_0011
    identity.logPages = [.commandEffects, .extendedData]
    identity.errorLogEntriesZeroBased = UInt8(ErrorLog.entries - 1)
    identity.warningTemperature = HealthCounters.warningTemperature
    identity.criticalTemperature = HealthCounters.criticalTemperature
    identity.totalCapacity = namespaces.all.reduce(0) { $0 &+ $1.blocks << UInt64($1.shift) }
    identity.submissionEntrySizes = 0x66
    identity.completionEntrySizes = 0x44
    identity.namespaceCount = UInt32(namespaces.all.count)
    identity.ioCommands = [
      .compare, .datasetManagement, .writeZeroes, .saveAndSelect, .timestamp, .verify,
    ]
    // Flush takes all namespaces at once; whether there is a cache to flush is the files' matter.
    identity.volatileWriteCache = 0b110 | (features.hasCache ? 1 : 0)
    identity.sglSupport = 1
    identity.subsystemName = "nqn.2024-01.io.github.swift-vfio-user:" + identity.serialNumber
    identity.maximumPower = 100
    return identity
  }

  static let firmwareRevision = "0.1.0"
}
