internal import LinuxPrimitives
public import Logging
public import SystemPackage

/// The PCI device on which people learn to write drivers, as QEMU documents it (`docs/specs/edu`).
///
/// It introduces itself as `1234:11e8`, has 1 MiB of memory space, an interrupt pin and MSI.
///
/// | offset | | register |
/// |---|---|---|
/// | 0x00 | RO | identification, `0x010000ed` |
/// | 0x04 | RW | liveness: reads as the inverse of what was written |
/// | 0x08 | RW | factorial: replaced by its factorial (32 bits) when status bit 0x01 has gone |
/// | 0x20 | RW | status: 0x01 (RO) a factorial is computed, 0x80 it raises interrupt 0x001 at the end |
/// | 0x24 | RO | interrupt status: the bits that were raised |
/// | 0x60 | WO | raises an interrupt with these bits |
/// | 0x64 | WO | acknowledges these bits; INTx goes low with the last |
/// | 0x80 | RW | transfer: source address |
/// | 0x88 | RW | transfer: destination address |
/// | 0x90 | RW | transfer: count in bytes |
/// | 0x98 | RW | transfer: 0x1 start (set until the end), 0x2 to memory, 0x4 raises interrupt 0x100 at the end |
///
/// Registers below 0x80 take accesses of four bytes, the others of four (then the upper half is
/// written as zero) or eight. Every other access reads as ones and writes nothing.
///
/// A transfer moves up to 4096 bytes between memory and a buffer that has the address 0x40000 inside of
/// the device. Registers of the transfer do not change while one runs, and neither does the factorial
/// while one is computed. Addresses in memory are cut to the bits of the mask. The device has no way
/// to report that a transfer did not happen (the buffer left, memory that is not there, no bus
/// master): it ends like any other, and the log says why at the level `info`. Memory is all or
/// nothing on the way in; on the way out, what lies in front of a hole is written.
///
/// Work that is under way when the device is reset, or its client goes, brings no interrupt and changes
/// no register; bytes on their way to memory may still arrive just after a reset.
public final class EduDevice: Device {
  /// The bits that an address in memory can have.
  public let dmaMask: UInt64
  let logger: Logger
  let context: DeviceContext
  let interrupt: InterruptSource
  let registers = Monitor(EduRegisters())

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - context: where it is plugged in.
  ///   - dmaMask: the bits that an address in memory can have; 28 as a default, like QEMU's, so
  ///     that drivers have to tell their kernel.
  ///   - logger: hears of transfers that did not happen.
  public init(
    _ context: DeviceContext, dmaMask: UInt64 = (1 << 28) - 1, logger: Logger = Logger(label: "edu")
  ) {
    self.context = context
    interrupt = context.interrupts.source()
    self.dmaMask = dmaMask
    self.logger = logger
  }

  /// As QEMU's `edu` looks on the bus.
  public static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x11E8, revision: 0x10,
      classCode: PCIClass(base: 0x00, sub: 0xFF, programmingInterface: 0),
      subsystemVendor: 0x1AF4, subsystem: 0x1100),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 1 << 20)],
    hasInterruptPin: true,
    capabilities: [.msi(MSI(vectors: 1, perVectorMasking: false, is64Bit: true))])

  /// Reads a register; ones where there is none, or none of this width.
  public func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    let register = Self.register(access, width: bytes.byteCount)
    let value = register.flatMap { register in
      registers.withLock { $0.value(at: register) }
    }
    switch (value, bytes.byteCount) {
    case (let value?, 4): bytes.storeLittleEndian(UInt32(truncatingIfNeeded: value), at: 0)
    case (let value?, 8): bytes.storeLittleEndian(value, at: 0)
    default:
      for place in 0..<bytes.byteCount {
        bytes.storeBytes(of: 0xFF, toByteOffset: place, as: UInt8.self)
      }
    }
  }

  /// Writes a register, if there is one of this width.
  public func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard let register = Self.register(access, width: bytes.count) else { return }
    let value =
      bytes.count == 8
      ? bytes.littleEndian(at: 0, as: UInt64.self)
      : UInt64(bytes.littleEndian(at: 0, as: UInt32.self))
    try start(change { $0.write(value, at: register) })
  }

  private static func register(_ access: RegionAccess, width: Int) -> EduRegisters.Offset? {
    guard access.region == .bar0, let offset = EduRegisters.Offset(rawValue: access.offset),
      offset.takes(width: width)
    else { return nil }
    return offset
  }

  /// As after power-on, the buffer included.
  public func reset() { registers.withLock { $0.reset() } }

  /// What the client began is not to reach the next one.
  public func clientLeft() { registers.withLock { $0.abandonWork() } }
}
