internal import LinuxPrimitives
public import SystemPackage

/// A device for tests and benchmarks that uses every function of the framework.
///
/// Its vendor and device are `1234:5c7c`; it has an interrupt pin, MSI with eight vectors, MSI-X with 64,
/// power management, and a function level reset.
///
/// | region | bytes | |
/// |---|---|---|
/// | BAR 0 | 4 KiB | registers, answered by callbacks |
/// | BAR 1 | 2 MiB | memory that is only reached by messages, answered by callbacks |
/// | BAR 2 | 1 MiB | memory that can be mapped from 0x10000 to 0x30000 and from 0x80000 to 0xC0000 |
/// | BAR 4 | 4 KiB | the MSI-X table at 0x000, its pending bits at 0x800 |
///
/// The registers allow accesses of any width at any offset, little endian; a write that covers several
/// registers writes them in the order of their offsets:
///
/// | offset | bytes | | register |
/// |---|---|---|---|
/// | 0x00 | 4 | RO | identity, `0x41524353` ("SCRA") |
/// | 0x04 | 4 | RO | version, 1 |
/// | 0x08 | 8 | RW | scratch: keeps what is written |
/// | 0x10 | 8 | RW | source, an address in guest memory |
/// | 0x18 | 8 | RW | destination, an address in guest memory |
/// | 0x20 | 8 | RW | count in bytes, at most 1 MiB |
/// | 0x28 | 4 | RW | control: bits 0 to 15 a vector, 0x10000 interrupt when a copy ends, 0x20000 enable the doorbell's descriptor |
/// | 0x2C | 4 | WO | doorbell: any write starts a copy with what the registers say now |
/// | 0x30 | 4 | RO | status: how many copies wait or run |
/// | 0x34 | 4 | RO | error: the errno of the copy that ended last, 0 for success |
/// | 0x38 | 8 | RO | completed: how many copies have ended, well or not |
/// | 0x40 | 4 | WO | raise: interrupts with the vector that is written |
/// | 0x44 | 4 | RW1C | interrupts: 0x1 a copy has ended, 0x2 raise was written; INTx is high while a bit is set |
///
/// Interrupts use MSI-X if enabled, else MSI (the vector modulo eight) if enabled, else INTx. Each ring of
/// the doorbell results in one completed copy. Copies run one after the other; a ring while 64 wait completes
/// immediately with `EBUSY`. A copy reads all bytes of the source before it writes the first to the
/// destination, so the two may overlap.
///
/// | error | |
/// |---|---|
/// | `E2BIG` | more than 1 MiB |
/// | `EINVAL` | a range that passes the last address, or a vector above 63 with the interrupt bit; then without an interrupt |
/// | `EPERM` | the device is not bus master |
/// | `EFAULT`, `EACCES`, ... | what the framework said of the memory (``/VFIOUserServer/MemoryError/errno``) |
/// | `EBUSY` | too many copies wait |
///
/// The doorbell's descriptor (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`) stays with a client that has
/// disconnected. So it is used only while the bit in the control register is set, and the bit is cleared when
/// the client disconnects. Several signals that come together count as one ring.
///
/// A reset clears registers and BAR 1 and drops all copies; BAR 2 keeps its contents. Copies that run when
/// the device is reset or the client disconnects do not complete.
public final class ScratchDevice: Device {
  let engine: CopyEngine
  let registers: RegisterFile
  let memory = Monitor(PagedBytes(count: 2 << 20))
  let bell: DoorbellWatcher?

  /// Makes a device, and starts the thread that waits for the doorbell's descriptor.
  ///
  /// - Parameters:
  ///   - context: the device's context; made for ``pci``.
  /// - Throws: if the thread for the doorbell's descriptor cannot be started.
  public init(_ context: DeviceContext) throws {
    let engine = CopyEngine(context)
    self.engine = engine
    registers = try ScratchRegisters.file(for: engine)
    bell = try context.counter("doorbell").map { counter in
      try DoorbellWatcher(counter) { engine.ring(byDescriptor: true) }
    }
  }

  deinit { bell?.stop() }

  /// Number of MSI-X vectors.
  public static let vectors = 64
  /// The mappable areas of BAR 2.
  public static let mappableAreas: [Range<UInt64>] = [0x10000..<0x30000, 0x80000..<0xC0000]

  /// The PCI description.
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

  /// Resets to the state after power-on, except BAR 2.
  public func reset() {
    registers.reset()
    engine.reset()
    memory.withLock { $0.clear() }
  }

  /// Drops the client's copies, and disables its doorbell's descriptor.
  public func clientLeft() {
    ScratchRegisters.forgetDescriptor(in: registers)
    engine.abandonCopies()
  }
}
