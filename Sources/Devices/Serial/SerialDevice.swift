internal import CLinux
public import Logging
public import SystemPackage

/// A serial port on the PCI bus: a ``UART16550`` in an I/O BAR of eight bytes, with INTx and a far
/// end.
///
/// It has the IDs of QEMU's `pci-serial`, which is supported by Linux (`8250_pci`) and others. The
/// far end can be used by programs on this machine.
///
/// No data is lost as long as the guest respects the flow control, that is, a transmitter that is
/// not empty: a far end that does not read makes the guest wait, and vice versa.
public final class SerialDevice: Device {
  /// When bytes from the far end are put into the receive FIFO.
  @nonexhaustive
  public enum InputPolicy: Sendable {
    /// While the guest asserts DTR or RTS, as drivers do while the port is open.
    ///
    /// Drivers clear the FIFO when they open the port: earlier input would be lost.
    case whenReady
    /// Always, for guests that do not set the modem control register.
    case always
  }

  let pump: Pump

  /// Creates a port and starts the thread that waits for the far end.
  ///
  /// - Parameters:
  ///   - context: where the port is plugged in.
  ///   - farEnd: what the cable leads to.
  ///   - input: when the guest gets bytes of the far end.
  ///   - keptName: by which a new version of the program takes over the program that is connected to a socket; nil if
  ///     it need not.
  ///   - logger: hears of programs that come and go.
  /// - Throws: when there is no descriptor or no thread left.
  public convenience init(
    _ context: DeviceContext, _ farEnd: FarEnd, input: InputPolicy = .whenReady,
    keptAs keptName: String? = nil, logger: Logger = Logger(label: "serial")
  ) throws(SystemCallError) {
    let source = context.interrupts.source()
    try self.init(farEnd, input: input, keptAs: keptName, logger: logger)
    attach { isHigh in if isHigh { source.raise() } else { source.lower() } }
  }

  /// Makes a port whose interrupt goes nowhere, until ``attach(interruptLine:)``.
  package init(
    _ farEnd: FarEnd, input: InputPolicy = .whenReady, keptAs keptName: String? = nil,
    logger: Logger = Logger(label: "serial")
  ) throws(SystemCallError) {
    pump = try Pump(Port(to: farEnd, input, keptAs: keptName), logger)
  }

  /// Connects the chip's interrupt to a line, which is called with the port's lock held: in the order
  /// of the changes, so that the last level is the level.
  package func attach(interruptLine line: @escaping @Sendable (Bool) -> Void) {
    pump.withPort { $0.connect(interruptLine: line) }
  }

  deinit { close() }

  /// Stops the port's thread and releases the far end.
  ///
  /// Registers remain accessible; output of the guest is discarded. May be called twice, and from
  /// any thread.
  public func close() { pump.stop() }

  /// Sends a break to the guest (Linux takes the next byte as a magic SysRq key).
  ///
  /// It overtakes bytes that are waiting for room in the FIFO.
  public func sendBreak() {
    pump.withPort { $0.sendBreak() }
  }

  /// QEMU's `pci-serial` with one port.
  public static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1B36, device: 0x0002, revision: 1,
      // Communication controller, serial, 16550-compatible.
      classCode: PCIClass(base: 0x07, sub: 0x00, programmingInterface: 0x02),
      subsystemVendor: 0x1AF4, subsystem: 0x1100),
    bars: [0: BaseAddressRegister(.io, size: UInt64(size))],
    hasInterruptPin: true)

  /// Reads registers; a wide access is performed as byte accesses in ascending order.
  public func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    let first = try Self.firstRegister(access, bytes.byteCount)
    pump.withPort { port in
      for place in 0..<bytes.byteCount {
        let value = port.uart.read(Self.register(first + place))
        bytes.storeBytes(of: value, toByteOffset: place, as: UInt8.self)
      }
    }
  }

  /// Writes registers, in the same way as ``read(_:into:)``.
  public func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    let first = try Self.firstRegister(access, bytes.count)
    pump.withPort { port in
      for place in bytes.indices {
        port.uart.write(bytes[place], to: Self.register(first + place))
      }
    }
  }

  /// Resets the UART; bytes in transit in either direction are kept.
  public func reset() {
    pump.withPort { $0.reset() }
  }

  /// Number of registers, and size of BAR 0 in bytes.
  private static let size = 8

  private static func firstRegister(
    _ access: RegionAccess, _ count: Int
  ) throws(Errno) -> Int {
    guard access.region == .bar0, access.count == count,
      let range = access.range(within: UInt64(size))
    else { throw .invalidArgument }
    return Int(range.lowerBound)
  }

  private static func register(_ number: Int) -> UART16550.Register {
    UART16550.Register(rawValue: UInt8(number)) ?? .scratch
  }
}
