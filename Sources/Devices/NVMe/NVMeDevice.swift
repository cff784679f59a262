internal import LinuxPrimitives
internal import Logging
internal import Synchronization
internal import NVMeProtocol
public import SystemPackage

/// An NVMe disk (NVM Express 1.4) on the PCI bus.
///
/// Callbacks of the connection only note what was written and wake the controller's thread, which
/// fetches commands, has them carried out and completes them. Data goes straight between the files and
/// the client's memory where that is mapped.
public final class NVMeDevice: Device {
  /// Why a disk cannot be made.
  @nonexhaustive
  public enum ValidationError: Error, Equatable, Sendable {
    /// A number is out of its range.
    case outOfRange(what: String, value: Int, range: ClosedRange<Int>)
    /// A namespace has blocks of a size that there is not.
    case blockSize(Int)
    /// A file does not hold one block.
    case empty(String)
    /// Direct I/O with a file is in larger pieces than the blocks that the namespace has.
    case unaligned(String, blockSize: Int, alignment: Int)
    /// A serial number that would reach the guest as another one: it has ASCII only, and no blanks at its ends.
    case serialNumber(String)
    /// A namespace cannot have this NGUID: it says nothing, or another namespace has it.
    case globallyUniqueID(namespace: Int, String)
  }

  static let vendor: UInt16 = 0x1234
  private static let registersEnd: UInt64 = 0x1000
  private static let doorbellsEnd: UInt64 = 0x2000

  let options: NVMeConfiguration
  private let keeping: Keeping
  let mailbox: Mailbox
  private let doorbells: Doorbells
  let registers: RegisterBlock
  private let generations: ControllerGenerations
  /// Whether a client has gone, so that the controller does not know the memory of the one that is there;
  /// only looked at by callbacks.
  let needsAdoption = Atomic(false)
  /// Whether the client that is there has loaded a state, so that its memory is that of the controller's host.
  let hasLoaded = Atomic(false)
  let context: DeviceContext
  private let line: CompletionInterrupts
  let controller: Controller

  /// Makes a disk, and starts the controller's thread.
  ///
  /// - Parameters:
  ///   - context: where it is plugged in; made for ``description(of:)``.
  ///   - options: what it is made of.
  /// - Throws: ``ValidationError``, or what the system says when there are no threads to be had.
  public init(_ context: DeviceContext, _ options: NVMeConfiguration) throws {
    self.context = context
    try options.check()
    var options = options
    options.workers = options.usedWorkers
    self.options = options
    keeping = try Keeping(options)
    try options.check(keeping.identity)
    let bell = options.exports.isEmpty ? nil : try EventFD()
    mailbox = Mailbox(bell: bell)
    // Engines, the controller's thread, and workers.
    generations = ControllerGenerations(counts: 2 + options.usedWorkers)
    doorbells = Doorbells(pairs: options.queues + 1)
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntriesZeroBased = UInt16(options.queueEntries - 1)
    capabilities.contiguousQueuesRequired = true
    // 30 seconds: as long as a disk may take to finish what it has begun.
    capabilities.timeout = 60
    capabilities.subsystemResetSupported = true
    capabilities.commandSets = 1
    capabilities.maximumPageSize = 4
    registers = RegisterBlock(capabilities: capabilities, generations: generations)
    line = CompletionInterrupts(context.interrupts, queues: options.queues + 1)
    if options.doorbells == .mapped, let memory = context.memory(of: .bar0) {
      doorbells.use(memory)
    }
    let engine = try options.makeEngine?() ?? ThreadPool(threads: options.threads)
    do {
      let controller = try Controller(
        options, mailbox: mailbox, doorbells: doorbells, registers: registers,
        generations: generations, bus: context, line: line, engine: engine, keeping: keeping)
      self.controller = controller
      try DetachedThread.start("nvme") { controller.run() }
    } catch {
      engine.close()
      throw error
    }
  }

  /// An NVMe controller with MSI-X, MSI and INTx, unless there are to be fewer.
  public static func description(of options: NVMeConfiguration) -> PCIDescription {
    let page: Range<UInt64> = registersEnd..<doorbellsEnd
    return PCIDescription(
      identity: PCIIdentity(
        vendor: vendor, device: 0x4E56,
        classCode: PCIClass(base: 0x01, sub: 0x08, programmingInterface: 0x02)),
      bars: [
        0: BaseAddressRegister(
          .memory64(prefetchable: false), size: 0x4000,
          backing: options.doorbells == .mapped
            ? .memoryAreas([page], notifying: true) : .callbacks)
      ],
      hasInterruptPin: true,
      capabilities: [.powerManagement(PowerManagement()), .express(Express())]
        + interruptCapabilities(options))
  }

  private static func interruptCapabilities(_ options: NVMeConfiguration) -> [PCICapability] {
    let messages = PCICapability.msi(MSI(vectors: 32, perVectorMasking: true))
    let table = MSIX(
      vectors: options.queues + 1, bar: 0, tableOffset: 0x2000, pendingOffset: 0x3000)
    return switch options.interrupts {
    case .msix: [messages, .msix(table)]
    case .msi: [messages]
    case .intx: []
    }
  }

  /// Finishes what is under way, saves the state and ends the threads; call it at the end.
  public func close() {
    mailbox.post(.close)
    _ = generations.waitUntilServed(.max, before: .after(.seconds(10)))
  }

  var possession: DiskPossession { controller.lifeCycle.possession }

  /// Whether the disk waits for its state, which has to be loaded before it can be used.
  public var isWaiting: Bool { !possession.isHeld }

  /// What the guest knows the disk by.
  public var serialNumber: String { keeping.identity.serialNumber }

  /// Looks whether files have another size by now, and reports it to the guest; from any thread.
  ///
  /// The size of an export comes from its server some time later.
  public func measure() {
    for export in options.exports {
      export.lookAgain { [mailbox, logger = options.logger] error in
        guard let error else { return mailbox.wake.signal() }
        logger.warning(
          "the size of an export cannot be learned, and stays as it is",
          metadata: ["export": "\(export.name)", "reason": "\(error)"])
      }
    }
    mailbox.post(.measure)
  }
}

// MARK: Callbacks, on the connection's thread

extension NVMeDevice {
  /// Reads registers; doorbells read as zero.
  public func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    let mask = line.mask
    var place = 0
    // Any width and place: dword by dword.
    while place < bytes.byteCount {
      let offset = access.offset &+ UInt64(place)
      guard access.region == .bar0, offset < Self.registersEnd else { return }
      let value = registers.load(at: offset & ~3, interruptMask: mask)
      var shift = offset & 3
      while shift < 4, place < bytes.byteCount {
        bytes.storeBytes(
          of: UInt8(truncatingIfNeeded: value >> UInt32(8 * shift)), toByteOffset: place,
          as: UInt8.self)
        place += 1
        shift += 1
      }
    }
  }

  /// Writes registers and doorbells, in dwords; other widths are of no effect.
  public func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard access.region == .bar0, access.offset & 3 == 0, bytes.count == 4 || bytes.count == 8
    else {
      return options.logger.debug(
        "a write of an odd width",
        metadata: ["offset": "\(access.offset)", "count": "\(bytes.count)"])
    }
    for place in stride(from: 0, to: bytes.count, by: 4) {
      writeDword(bytes.littleEndian(at: place), at: access.offset + UInt64(place))
    }
  }

  private func writeDword(_ value: UInt32, at offset: UInt64) {
    if offset >= Self.registersEnd { return ring(value, at: offset) }
    switch offset {
    case RegisterOffset.interruptMaskSet: line.changeMask(set: value)
    case RegisterOffset.interruptMaskClear: line.changeMask(clear: value)
    default:
      for order in registers.store(value, at: offset, access: context.memory.access()) {
        mailbox.post(.order(order))
        if case .resetSubsystem = order { endGeneration() }
      }
    }
  }

  private func ring(_ value: UInt32, at offset: UInt64) {
    guard offset < Self.doorbellsEnd else { return }
    let index = Int((offset - Self.registersEnd) / 4)
    let isSound = doorbells.write(value, to: index)
    adoptClient()
    if isSound, index % 2 == 1 {
      let queue = UInt16(index / 2)
      let isKnown = line.look(queue) { doorbells.newestHead(of: queue) }
      // Hosts say all the time how far they have read; the controller seldom waits for that.
      guard !isKnown || doorbells.wantsHeads.load(ordering: .sequentiallyConsistent) else { return }
    } else if isSound, index > 0, controller.serveInline() {
      return
    }
    mailbox.wake.signal()
  }

  /// Another client is there, and it does not reset the controller: it continues with it.
  ///
  /// Only a doorbell says so. A driver that starts anew writes to other registers first, and meanwhile
  /// the queues of the one before must not be looked for in its memory. Nor before the client has armed
  /// the device: its memory cannot be had then.
  private func adoptClient() {
    guard needsAdoption.load(ordering: .relaxed) else { return }
    let access = context.memory.access()
    guard access.isAlive else { return }
    needsAdoption.store(false, ordering: .relaxed)
    mailbox.post(.adopt(access))
  }

  /// The guest has set the bus master bit (NVMe 1.4, section 2.1.2, CMD.BME): a controller that paused because the
  /// bit was clear continues.
  ///
  /// Another client than the one that enabled the controller, or loaded it, has to ring a doorbell first, see
  /// `adoptClient`.
  public func configurationWritten(_ access: RegionAccess) {
    let command: Range<UInt64> = 4..<6
    guard access.offset < command.upperBound,
      access.offset &+ UInt64(access.count) > command.lowerBound, context.isBusMaster,
      !needsAdoption.load(ordering: .relaxed) || hasLoaded.load(ordering: .relaxed)
    else { return }
    mailbox.post(.adopt(context.memory.access()))
  }

  /// The client has written to a doorbell by message, though it can map them.
  public func memoryWritten(_ access: RegionAccess) {
    adoptClient()
    mailbox.wake.signal()
  }

  /// Back to the state after power-on; returns when nothing that was begun before touches the client's
  /// memory any more.
  ///
  /// Where that is reached by messages, the one that is under way may still come.
  public func reset() {
    possession.forgetLoad()
    registers.reset()
    endGeneration()
  }

  /// The registers have ended the generation: waits for what of it still touches the client's memory.
  private func endGeneration() {
    let generation = generations.current
    line.reset()
    mailbox.post(.reset(generation))
    let deadline = Deadline.after(Self.patience)
    // Whatever is being copied to the client's memory, or read into it by a ring, is waited for however long it
    // takes: the answer to a reset says that it has ended. See `ControllerGenerations`.
    if !generations.waitForWriters(before: deadline) {
      options.logger.warning("a reset waits for data that the disk reads into the guest's memory")
      _ = generations.waitForWriters(before: .never)
    }
    // With messages, the controller may be waiting for this very thread; what it writes from now on
    // it does not write, because its generation is over.
    guard !mailbox.usesMessages.load(ordering: .sequentiallyConsistent) else { return }
    if !generations.waitUntilServed(generation, before: deadline) {
      options.logger.warning("a reset does not wait for the disk any longer")
    }
  }

  /// How long a reset waits for what the disk does without touching the guest's memory; the client waits as long.
  ///
  /// The controller is not ready again before that has ended.
  private static let patience: Duration = .seconds(2)

  /// What the client had begun is dropped.
  public func clientLeft() {
    needsAdoption.store(true, ordering: .relaxed)
    hasLoaded.store(false, ordering: .relaxed)
    mailbox.post(.clientLeft)
  }
}
