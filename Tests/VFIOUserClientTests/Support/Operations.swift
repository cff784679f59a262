import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// Every operation of a client that waits for an answer, which posting does not, both as a thread and as a task do it.
struct Operation: CustomTestStringConvertible, Sendable {
  let testDescription: String
  /// The command that it waits for first.
  let command: Command
  let onThread: @Sendable (Client, Duration?) throws(ClientError) -> Void
  let inTask: @Sendable (Client, Duration?) async throws -> Void

  init(
    _ name: String, _ command: Command,
    _ onThread: @escaping @Sendable (Client, Duration?) throws(ClientError) -> Void,
    _ inTask: @escaping @Sendable (Client, Duration?) async throws -> Void
  ) {
    testDescription = name
    self.command = command
    self.onThread = onThread
    self.inTask = inTask
  }

  static let all = device + accesses + mapping + interrupts + features

  static let device: [Operation] = [
    .init(
      "device info", .deviceGetInfo,
      { (c, t) throws(ClientError) in _ = try c.deviceInfo(timeout: t) },
      { (c, t) async throws in _ = try await c.deviceInfo(timeout: t) }),
    .init(
      "interrupt info", .deviceGetIRQInfo,
      { (c, t) throws(ClientError) in _ = try c.interruptInfo(.intx, timeout: t) },
      { (c, t) async throws in _ = try await c.interruptInfo(.intx, timeout: t) }),
    .init(
      "reset", .deviceReset, { (c, t) throws(ClientError) in try c.reset(timeout: t) },
      { (c, t) async throws in try await c.reset(timeout: t) }),
    .init(
      "region", .deviceGetRegionInfo,
      { (c, t) throws(ClientError) in _ = try c.region(.bar0, timeout: t) },
      { (c, t) async throws in _ = try await c.region(.bar0, timeout: t) }),
    .init(
      "signals of a known region", .deviceGetRegionIOFDs,
      { (c, t) throws(ClientError) in _ = try c.signals(of: .ofOnePage(), timeout: t) },
      { (c, t) async throws in _ = try await c.signals(of: .ofOnePage(), timeout: t) }),
    .init(
      "map a region", .deviceGetRegionInfo,
      { (c, t) throws(ClientError) in _ = try c.mapRegion(.bar0, timeout: t) },
      { (c, t) async throws in _ = try await c.mapRegion(.bar0, timeout: t) }),
  ]

  static let accesses: [Operation] = [
    .init(
      "load", .regionRead,
      { (c, t) throws(ClientError) in _ = try c.load(.bar0, at: 0, as: UInt32.self, timeout: t) },
      { (c, t) async throws in
        _ = try await c.load(.bar0, at: 0, as: UInt32.self, timeout: t)
      }),
    .init(
      "store", .regionWrite,
      { (c, t) throws(ClientError) in try c.store(UInt32(1), .bar0, at: 0, timeout: t) },
      { (c, t) async throws in
        try await c.store(UInt32(1), .bar0, at: 0, timeout: t)
      }),
    .init(
      "read", .regionRead,
      { (c, t) throws(ClientError) in _ = try c.read(.bar0, at: 0, count: 9, timeout: t) },
      { (c, t) async throws in
        _ = try await c.read(.bar0, at: 0, count: 9, timeout: t)
      }),
    .init(
      "read in pieces", .regionRead,
      { (c, t) throws(ClientError) in _ = try c.read(.bar0, at: 0, count: 3 << 20, timeout: t) },
      { (c, t) async throws in
        _ = try await c.read(.bar0, at: 0, count: 3 << 20, timeout: t)
      }),
    .init(
      "write", .regionWrite,
      { (c, t) throws(ClientError) in try c.write(.bar0, at: 0, from: [1, 2, 3], timeout: t) },
      { (c, t) async throws in
        try await c.write(.bar0, at: 0, from: [1, 2, 3], timeout: t)
      }),
  ]

  static let mapping: [Operation] = [
    .init(
      "map", .dmaMap,
      { (c, t) throws(ClientError) in
        try c.map(.ofOnePage(), at: 0, size: 4096, timeout: t)
      },
      { (c, t) async throws in
        try await c.map(.ofOnePage(), at: 0, size: 4096, timeout: t)
      }),
    .init(
      "transaction", .dmaMap,
      { (c, t) throws(ClientError) in
        try c.transaction(timeout: t) { (changes) throws(ClientError) in
          try changes.map(.ofOnePage(), at: 0, size: 4096)
          try changes.map(.ofOnePage(), at: 8192, size: 4096)
        }
      },
      { (c, t) async throws in
        try await c.transaction(timeout: t) { (changes) throws(ClientError) in
          try changes.map(.ofOnePage(), at: 0, size: 4096)
          try changes.map(.ofOnePage(), at: 8192, size: 4096)
        }
      }),
    .init(
      "unmap", .dmaUnmap,
      { (c, t) throws(ClientError) in
        try c.pretendToHaveMapped()
        try c.unmap(at: 0, size: 4096, timeout: t)
      },
      { (c, t) async throws in
        try c.pretendToHaveMapped()
        try await c.unmap(at: 0, size: 4096, timeout: t)
      }),
    .init(
      "unmap all", .dmaUnmap, { (c, t) throws(ClientError) in try c.unmapAll(timeout: t) },
      { (c, t) async throws in try await c.unmapAll(timeout: t) }),
  ]

  static let interrupts: [Operation] = [
    .init(
      "set a trigger", .deviceSetIRQs,
      { (c, t) throws(ClientError) in try c.setTrigger(.intx, nil, timeout: t) },
      { (c, t) async throws in try await c.setTrigger(.intx, nil, timeout: t) }),
    .init(
      "set triggers", .deviceSetIRQs,
      { (c, t) throws(ClientError) in try c.setTriggers(.msix, [nil, nil], timeout: t) },
      { (c, t) async throws in
        try await c.setTriggers(.msix, [nil, nil], timeout: t)
      }),
    .init(
      "set an unmask event", .deviceSetIRQs,
      { (c, t) throws(ClientError) in try c.setEvent(.unmask, .intx, nil, timeout: t) },
      { (c, t) async throws in
        try await c.setEvent(.unmask, .intx, nil, timeout: t)
      }),
    .init(
      "mask", .deviceSetIRQs,
      { (c, t) throws(ClientError) in try c.setMask(true, on: .intx, timeout: t) },
      { (c, t) async throws in try await c.setMask(true, on: .intx, timeout: t) }),
    .init(
      "mask some", .deviceSetIRQs,
      { (c, t) throws(ClientError) in
        try c.setMask(true, on: .msix, where: [true, false], timeout: t)
      },
      { (c, t) async throws in
        try await c.setMask(true, on: .msix, where: [true, false], timeout: t)
      }),
    .init(
      "disable", .deviceSetIRQs,
      { (c, t) throws(ClientError) in try c.disable(.msix, timeout: t) },
      { (c, t) async throws in try await c.disable(.msix, timeout: t) }),
    .init(
      "bind", .deviceSetIRQs,
      { (c, t) throws(ClientError) in _ = try c.bind(.msix, timeout: t) { _ in } },
      { (c, t) async throws in _ = try await c.bind(.msix, timeout: t) { _ in } }),
    .init(
      "bind the pin", .deviceSetIRQs,
      { (c, t) throws(ClientError) in _ = try c.bindINTx(timeout: t) {} },
      { (c, t) async throws in _ = try await c.bindINTx(timeout: t) {} }),
    .init(
      "interrupt pin", .deviceSetIRQs,
      { (c, t) throws(ClientError) in _ = try c.intx(timeout: t) },
      { (c, t) async throws in _ = try await c.intx(timeout: t) }),
  ]

  static let features: [Operation] = [
    .init(
      "probe a feature", .deviceFeature,
      { (c, t) throws(ClientError) in _ = try c.supports(.migration, .get, timeout: t) },
      { (c, t) async throws in
        _ = try await c.supports(.migration, .get, timeout: t)
      }),
    .init(
      "get a feature", .deviceFeature,
      { (c, t) throws(ClientError) in _ = try c.feature(.migration, timeout: t) },
      { (c, t) async throws in _ = try await c.feature(.migration, timeout: t) }),
    .init(
      "set a feature", .deviceFeature,
      { (c, t) throws(ClientError) in try c.setFeature(.dmaLoggingStop, timeout: t) },
      { (c, t) async throws in try await c.setFeature(.dmaLoggingStop, timeout: t) }),
    .init(
      "migration flags", .deviceFeature,
      { (c, t) throws(ClientError) in _ = try c.migrationFlags(timeout: t) },
      { (c, t) async throws in _ = try await c.migrationFlags(timeout: t) }),
    .init(
      "migration state", .deviceFeature,
      { (c, t) throws(ClientError) in _ = try c.migrationState(timeout: t) },
      { (c, t) async throws in _ = try await c.migrationState(timeout: t) }),
    .init(
      "set the migration state", .deviceFeature,
      { (c, t) throws(ClientError) in try c.setMigrationState(.stop, timeout: t) },
      { (c, t) async throws in try await c.setMigrationState(.stop, timeout: t) }),
    .init(
      "read migration data", .migrationDataRead,
      { (c, t) throws(ClientError) in _ = try c.readMigrationData(timeout: t) },
      { (c, t) async throws in _ = try await c.readMigrationData(timeout: t) }),
    .init(
      "write migration data", .migrationDataWrite,
      { (c, t) throws(ClientError) in try c.writeMigrationData([1, 2], timeout: t) },
      { (c, t) async throws in try await c.writeMigrationData([1, 2], timeout: t) }),
    .init(
      "start DMA logging", .deviceFeature,
      { (c, t) throws(ClientError) in try c.startDMALogging(pageSize: 4096, timeout: t) },
      { (c, t) async throws in
        try await c.startDMALogging(pageSize: 4096, timeout: t)
      }),
    .init(
      "stop DMA logging", .deviceFeature,
      { (c, t) throws(ClientError) in try c.stopDMALogging(timeout: t) },
      { (c, t) async throws in try await c.stopDMALogging(timeout: t) }),
    .init(
      "dirty pages", .deviceFeature,
      { (c, t) throws(ClientError) in
        _ = try c.dirtyPages(
          DMALoggingRange(address: 0, length: 1 << 20), pageSize: 4096, timeout: t)
      },
      { (c, t) async throws in
        _ = try await c.dirtyPages(
          DMALoggingRange(address: 0, length: 1 << 20), pageSize: 4096, timeout: t)
      }),
  ]
}

extension Client {
  /// Has a window at 0, unless there is one, of which the device was not told.
  fileprivate func pretendToHaveMapped() throws(ClientError) {
    let window = MemoryService.DMAWindow(
      address: 0, size: 4096, memory: try .ofOnePage(), offset: 0, flags: .readable,
      isShared: false)
    memory.update { if $0.add(window) { $0.arrived(window) } }
  }
}

extension Region {
  fileprivate static func ofOnePage() throws(ClientError) -> Region {
    let info = RegionInfo(flags: .readable, index: .bar0, size: 4096)
    return try Region(
      RegionAnswer(
        info: info, capabilities: RegionCapabilities(), isComplete: true, descriptor: nil))
  }
}
