internal import LinuxPrimitives
public import Logging
public import SystemPackage

/// The educational PCI device that QEMU documents (`docs/specs/edu`).
///
/// Its vendor and device are `1234:11e8`; it has 1 MiB of memory space, an interrupt pin and MSI.
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
/// A transfer copies up to 4096 bytes between guest memory and a buffer at the device's address 0x40000.
/// Writes to the transfer registers during a transfer are ignored, and so are writes to the factorial
/// register while a factorial is computed. Guest addresses are truncated to the bits of the mask. The device
/// cannot report a failed transfer (a range outside of the buffer, no memory, no bus master): it ends like a
/// successful one, and the reason is logged at the level `info`. A failed transfer from memory changes no
/// byte of the buffer; one to memory may have written the bytes before a hole.
///
/// Work that is running when the device is reset, or the client disconnects, raises no interrupt and changes
/// no register; bytes of a transfer to memory may still arrive just after a reset.
public final class EduDevice: Device {
  /// The bits of a guest address that the device uses.
  public let dmaMask: UInt64
  let logger: Logger
  let context: DeviceContext
  let interrupt: InterruptSource
  let registers = Monitor(EduRegisters())

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - context: the device's context.
  ///   - dmaMask: the bits of a guest address that the device uses; by default 28, like QEMU's, so that
  ///     drivers have to set a DMA mask.
  ///   - logger: gets the reasons of failed transfers.
  public init(
    _ context: DeviceContext, dmaMask: UInt64 = (1 << 28) - 1, logger: Logger = Logger(label: "edu")
  ) {
    self.context = context
    interrupt = context.interrupts.source()
    self.dmaMask = dmaMask
    self.logger = logger
  }

  /// The PCI description of QEMU's `edu`.
  public static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x11E8, revision: 0x10,
      classCode: PCIClass(base: 0x00, sub: 0xFF, programmingInterface: 0),
      subsystemVendor: 0x1AF4, subsystem: 0x1100),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 1 << 20)],
    hasInterruptPin: true,
    capabilities: [.msi(MSI(vectors: 1, perVectorMasking: false, is64Bit: true))])

  /// Reads a register; reads as ones if there is no register of this width at the offset.
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

  /// Writes a register, if there is one of this width at the offset.
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

  /// Resets registers and buffer to the state after power-on.
  public func reset() { registers.withLock { $0.reset() } }

  /// Drops the client's work, so that it does not affect the next client.
  public func clientLeft() { registers.withLock { $0.abandonWork() } }
}
