internal import LinuxPrimitives
public import SystemPackage

/// A device for tests and benchmarks, which has one of everything that the framework can do.
///
/// It introduces itself as `1234:5c7c`, has an interrupt pin, MSI with eight vectors, MSI-X with 64,
/// power states, and a function level reset.
///
/// | region | bytes | |
/// |---|---|---|
/// | BAR 0 | 4 KiB | registers, answered by callbacks |
/// | BAR 1 | 2 MiB | memory that is only reached by messages, answered by callbacks |
/// | BAR 2 | 1 MiB | memory that can be mapped from 0x10000 to 0x30000 and from 0x80000 to 0xC0000 |
/// | BAR 4 | 4 KiB | the MSI-X table at 0x000, its pending bits at 0x800 |
///
/// The registers take accesses of any width at any offset, little endian; one write may cover several,
/// which then are written in the order of their offsets:
///
/// | offset | bytes | | register |
/// |---|---|---|---|
/// | 0x00 | 4 | RO | identity, `0x41524353` ("SCRA") |
/// | 0x04 | 4 | RO | version, 1 |
/// | 0x08 | 8 | RW | scratch: keeps what is written |
/// | 0x10 | 8 | RW | source, an address in guest memory |
/// | 0x18 | 8 | RW | destination, an address in guest memory |
/// | 0x20 | 8 | RW | count in bytes, at most 1 MiB |
/// | 0x28 | 4 | RW | control: bits 0 to 15 a vector, 0x10000 interrupt when a copy ends, 0x20000 hear the doorbell's descriptor |
/// | 0x2C | 4 | WO | doorbell: any write starts a copy with what the registers say now |
/// | 0x30 | 4 | RO | status: how many copies wait or run |
/// | 0x34 | 4 | RO | error: the errno of the copy that ended last, 0 for success |
/// | 0x38 | 8 | RO | completed: how many copies have ended, well or not |
/// | 0x40 | 4 | WO | raise: interrupts with the vector that is written |
/// | 0x44 | 4 | RW1C | interrupts: 0x1 a copy has ended, 0x2 raise was written; INTx is high while a bit is set |
///
/// Interrupts go to the vector by MSI-X if that is on, else by MSI (the vector modulo eight) if that is
/// on, else by INTx. Each ring of the doorbell ends in one copy that is completed. Copies happen one
/// after the other; a ring while 64 wait ends at once with `EBUSY`. A copy takes all bytes from the
/// source before it writes the first to the destination, so the two may overlap.
///
/// | error | |
/// |---|---|
/// | `E2BIG` | more than 1 MiB |
/// | `EINVAL` | a range that passes the last address, or a vector above 63 with the interrupt bit; then without an interrupt |
/// | `EPERM` | the device is not bus master |
/// | `EFAULT`, `EACCES`, ... | what the framework said of the memory (``MemoryError/errno``) |
/// | `EBUSY` | too many copies wait |
///
/// The doorbell's descriptor (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`) stays with a client that has gone,
/// so it is only heard while control says so, and that bit goes with the client. Rings by it that come
/// together are one.
///
/// A reset clears registers and BAR 1 and ends all copies; BAR 2 is as it was. Copies that are under way
/// when the device is reset or its client goes complete nothing.
public final class ScratchDevice: Device {
  private let engine: CopyEngine
  private let registers: RegisterFile
  private let memory = Monitor(PagedBytes(count: 2 << 20))
  private let bell: DoorbellWatcher?

  /// Makes a device, which begins to wait for the doorbell's descriptor.
  ///
  /// - Parameters:
  ///   - context: where it is plugged in; made for ``pci``.
  /// - Throws: when there is no thread for the doorbell's descriptor.
  public init(_ context: DeviceContext) throws {
    let engine = CopyEngine(context)
    self.engine = engine
    registers = try ScratchRegisters.file(for: engine)
    bell = try context.counter("doorbell").map { counter in
      try DoorbellWatcher(counter) { engine.ring(byDescriptor: true) }
    }
  }

  deinit { bell?.stop() }

  /// How many MSI-X vectors there are.
  public static let vectors = 64
  /// The parts of BAR 2 that clients can map.
  public static let mappableAreas: [Range<UInt64>] = [0x10000..<0x30000, 0x80000..<0xC0000]

  /// One of everything.
  public static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5C7C, revision: 1,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(.memory32(prefetchable: false), size: UInt64(ScratchRegisters.size)),
      1: BaseAddressRegister(.memory32(prefetchable: false), size: 2 << 20),
      2: BaseAddressRegister(
        .memory64(prefetchable: true), size: 1 << 20,
        backing: .memory(mappable: .areas(mappableAreas))),
      4: BaseAddressRegister(.memory32(prefetchable: false), size: 4096),
    ],
    hasInterruptPin: true,
    capabilities: [
      .powerManagement(PowerManagement(noSoftReset: false)),
      .msi(MSI(vectors: CopyEngine.messages, perVectorMasking: true)),
      .msix(MSIX(vectors: vectors, bar: 4, tableOffset: 0, pendingOffset: 0x800)),
      .express(Express(functionLevelReset: true)),
    ],
    ioEventAreas: [
      IOEventArea(
        "doorbell", in: .bar0, at: UInt64(ScratchRegisters.doorbell), size: 4)
    ])

  /// Reads registers or memory.
  public func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    switch access.region {
    case .bar0: registers.read(at: access.offset, into: &bytes)
    case .bar1:
      try memory.withLock { (memory) throws(Errno) in
        try memory.read(at: access.offset, into: &bytes)
      }
    default: break  // BAR 4 behind the table: zeros
    }
  }

  /// Writes registers or memory.
  public func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    switch access.region {
    case .bar0: try registers.write(at: access.offset, from: bytes)
    case .bar1:
      try memory.withLock { (memory) throws(Errno) in
        try memory.write(at: access.offset, from: bytes)
      }
    default: break
    }
  }

  /// As after power-on, but for BAR 2.
  public func reset() {
    registers.reset()
    engine.reset()
    memory.withLock { $0.clear() }
  }

  /// What the client began is not to reach the next one, nor is its doorbell.
  public func clientLeft() {
    ScratchRegisters.forgetDescriptor(in: registers)
    engine.abandonCopies()
  }
}
