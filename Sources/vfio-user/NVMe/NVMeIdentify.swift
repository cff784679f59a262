import ArgumentParser
import NVMeDriver
import VFIOUserProgram

/// `vfio-user nvme identify`: describes a disk.
struct NVMeIdentify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "identify",
    abstract: "Show what an NVMe disk is, what it can do, and how it is.",
    discussion: """
      Enables the controller and asks it (Identify, logs, features); shows its registers CAP and VS too.

        vfio-user nvme identify /tmp/disk.sock
        vfio-user nvme identify /tmp/disk.sock --json | jq .namespaces

      Exit codes: 0 done (also with a warning that interrupts do not arrive), 1 the disk cannot be reached or driven, \
      64 the command line is wrong.
      """)

  @OptionGroup var target: NVMeTarget

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var log: LogOptions

  func run() throws {
    log.bootstrap()
    let disk = try Disk(target, depth: 1, transfer: DMAArena.pageSize)
    defer { disk.close() }
    let summary = try driving(target) { try DiskSummary(of: disk) }
    try say(json ? summary.json() : summary.text)
    disk.noteLostInterrupts()
  }
}

/// A description of a disk, from Identify and logs.
struct DiskSummary: Codable {
  struct Namespace: Codable {
    let id: UInt32
    let blocks: UInt64
    let blockSize: Int
    let isReadOnly: Bool
    /// The supported block sizes.
    let formats: [Int]
  }

  struct Health: Codable {
    let temperatureCelsius: Int
    let unitsRead: UInt64
    let unitsWritten: UInt64
    let readCommands: UInt64
    let writeCommands: UInt64
    let powerCycles: UInt64
    let unsafeShutdowns: UInt64
    let mediaErrors: UInt64
    let errorLogEntries: UInt64
  }

  let model: String
  let serial: String
  let firmware: String
  let version: String
  /// The registers CAP and VS in hexadecimal.
  let capabilityRegister: String
  let versionRegister: String
  let subsystem: String
  let maxTransfer: Int
  let maxQueue: Int
  let queues: Int
  let hasVolatileCache: Bool
  let commands: [String]
  let namespaces: [Namespace]
  let health: Health
  let lostInterrupts: [LostInterrupts]

  init(of disk: Disk) throws {
    let identity = disk.identity
    let version = identity.version
    model = identity.modelNumber
    serial = identity.serialNumber
    firmware = identity.firmwareRevision
    self.version = "\(version.major).\(version.minor)"
    let controller = disk.controller
    capabilityRegister = "0x\(hex(controller.capabilities.rawValue, 16))"
    versionRegister = "0x\(hex(try controller.register(RegisterOffset.version), 8))"
    subsystem = identity.subsystemName
    maxTransfer =
      identity.maximumTransfer == 0 || identity.maximumTransfer > 20
      ? 0 : DMAArena.pageSize << Int(identity.maximumTransfer)
    maxQueue = disk.controller.maxEntries
    queues = QueueCounts(rawValue: try disk.controller.feature(.numberOfQueues)).submission
    hasVolatileCache = identity.volatileWriteCache & 1 != 0
    commands = Self.commands(identity)
    namespaces = try disk.controller.activeNamespaces().prefix(64).map {
      Namespace(try NVMeNamespace($0, of: disk.controller))
    }
    health = Health(try disk.controller.health())
    lostInterrupts = disk.lostInterrupts
  }

  private static func commands(_ identity: IdentifyController) -> [String] {
    let io: [(OptionalIOCommands, String)] = [
      (.compare, "compare"), (.datasetManagement, "dataset management"),
      (.writeZeroes, "write zeroes"), (.verify, "verify"),
    ]
    let admin: [(OptionalAdminCommands, String)] = [
      (.format, "format"), (.doorbellBuffer, "doorbell buffer"),
    ]
    return io.filter { identity.ioCommands.contains($0.0) }.map(\.1)
      + admin.filter { identity.adminCommands.contains($0.0) }.map(\.1)
  }
}

extension DiskSummary.Namespace {
  init(_ namespace: NVMeNamespace) {
    id = namespace.id
    blocks = namespace.blocks
    blockSize = namespace.blockSize
    isReadOnly = namespace.description.isWriteProtected
    formats = (0...Int(namespace.description.formatsZeroBased & 0xF)).compactMap { index in
      let shift = namespace.description[format: index].dataShift
      return 9...16 ~= shift ? 1 << Int(shift) : nil
    }
  }
}

extension DiskSummary.Health {
  init(_ log: HealthLog) {
    temperatureCelsius = Int(log.temperature) - 273
    unitsRead = log.dataUnitsRead
    unitsWritten = log.dataUnitsWritten
    readCommands = log.hostReads
    writeCommands = log.hostWrites
    powerCycles = log.powerCycles
    unsafeShutdowns = log.unsafeShutdowns
    mediaErrors = log.mediaErrors
    errorLogEntries = log.errorLogEntries
  }
}

extension DiskSummary {
  /// The summary as JSON.
  func json() throws -> String { try prettyJSON(self) }

  /// The summary as text.
  var text: String {
    var lines = [
      "\(model), serial \(serial), firmware \(firmware), NVMe \(version)",
      "  Registers: CAP \(capabilityRegister), VS \(versionRegister)",
      "  Subsystem: \(subsystem)",
      "  Transfers: up to \(maxTransfer == 0 ? "any size" : byteCount(UInt64(maxTransfer)))",
      "  Queues: \(queues) of up to \(maxQueue) entries",
      "  Write cache: \(hasVolatileCache ? "volatile, flush makes durable" : "none")",
      "  Commands: \(commands.joined(separator: ", "))",
    ]
    lines += namespaces.map { space in
      let size = space.blocks.multipliedReportingOverflow(by: UInt64(space.blockSize))
      let formats = space.formats.map(String.init).joined(separator: " or ")
      return "  Namespace \(space.id): \(byteCount(size.partialValue)), \(space.blocks) blocks of "
        + "\(space.blockSize) bytes (\(formats))\(space.isReadOnly ? ", read-only" : "")"
    }
    lines.append(
      "  Health: \(health.temperatureCelsius) degrees, \(health.readCommands) reads, "
        + "\(health.writeCommands) writes, \(health.mediaErrors) media errors, "
        + "\(health.unsafeShutdowns) unsafe shutdowns, \(health.errorLogEntries) errors logged")
    return lines.joined(separator: "\n")
  }
}
