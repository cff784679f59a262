import SerialDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// The device as the framework sees it.
@Suite struct SerialDeviceTests {
  private let terminal: PseudoTerminal
  private let device: SerialDevice
  private let guest: Guest

  init() throws {
    terminal = try PseudoTerminal()
    device = try SerialDevice(.pseudoTerminal(terminal))
    guest = Guest(device)
  }

  @Test func `The serial device has the PCI identity of the serial port of QEMU`() {
    let identity = SerialDevice.pci.identity
    #expect(identity.vendor == 0x1B36)
    #expect(identity.device == 0x0002)
    #expect(identity.revision == 1)
    #expect(identity.classCode == PCIClass(base: 7, sub: 0, programmingInterface: 2))
    #expect(identity.subsystemVendor == 0x1AF4)
    #expect(identity.subsystem == 0x1100)
    #expect(SerialDevice.pci.bars == [0: BaseAddressRegister(.io, size: 8)])
    #expect(SerialDevice.pci.hasInterruptPin)
  }

  @Test func `A wide access to the UART is executed as byte accesses in ascending order`() {
    guest.write([0x80], at: 3)
    guest.write([0x34, 0x12], at: 0)
    #expect(guest.read(at: 0, count: 4) == [0x34, 0x12, 0x01, 0x80])
    // Data, interrupt enable, FIFO control, line control, modem control, two that do not write, scratch.
    guest.write([0x34, 0x12, 0x01, 0x03, 0x03, 0xFF, 0xFF, 0x5A], at: 0)
    #expect(guest.read(at: 0, count: 8) == [0, 0, 0xC1, 0x03, 0x03, 0x60, 0xB0, 0x5A])
    #expect(guest.read(at: 5, count: 3) == [0x60, 0xB0, 0x5A])
  }

  @Test(arguments: [
    RegionAccess(offset: 8, region: .bar0, count: 1), .init(offset: 7, region: .bar0, count: 2),
    .init(offset: .max, region: .bar0, count: 1), .init(offset: 0, region: .bar1, count: 1),
    .init(offset: 0, region: .bar0, count: 2),
  ])
  func `A UART access outside of the registers or of another size than its data is refused`(
    access: RegionAccess
  ) {
    var bytes = [UInt8](repeating: 0, count: access.offset == 7 ? 2 : 1)
    #expect(throws: Errno.invalidArgument) {
      try self.device.write(access, from: bytes.span)
    }
    #expect(throws: Errno.invalidArgument) {
      var span = bytes.mutableSpan
      var raw = unsafe span.mutableBytes
      try self.device.read(access, into: &raw)
    }
  }

  @Test func `The interrupt level follows the UART when the guest or the far end changes it`()
    throws
  {
    let program = try Program(at: terminal.path)
    guest.open(interrupts: 0x01)
    #expect(!guest.interruptLevel)
    #expect(program.write([0x41]) == 1)
    #expect(eventually { guest.interruptLevel })
    #expect(guest.read(.data) == 0x41)
    #expect(!guest.interruptLevel)
    guest.write(0x02, to: .interruptEnable)
    #expect(guest.interruptLevel)
    #expect(guest.read(.interruptIdentification) == 0xC2)
    #expect(!guest.interruptLevel)
  }

  @Test func `An interrupt line that is connected late gets the current level`() {
    guest.write(0x02, to: .interruptEnable)
    #expect(Guest(device).interruptLevel)
  }

  @Test func `A break reaches the guest once the guest is ready`() {
    device.sendBreak()
    #expect(guest.read(.lineStatus) == 0x60)
    guest.open()
    #expect(guest.read(.lineStatus) == 0xF9)
    #expect(guest.read(.data) == 0)
  }

  @Test func `Bytes of the far end wait until the guest has opened the port`() throws {
    let program = try Program(at: terminal.path)
    let typed = Array("too early".utf8)
    #expect(program.write(typed) == typed.count)
    #expect(guest.receive(1, patience: .milliseconds(50)).isEmpty)
    guest.open()
    #expect(guest.receive(typed.count) == typed)
  }

  @Test func `Bytes of the far end do not wait for a guest without modem control`() throws {
    let eager = Guest(try SerialDevice(.pseudoTerminal(terminal), input: .always))
    device.close()
    #expect(try Program(at: terminal.path).write([0x41]) == 1)
    #expect(eager.receive(1) == [0x41])
  }

  @Test func `A reset of the serial device lowers the interrupt and keeps the bytes of both sides`()
    throws
  {
    let program = try Program(at: terminal.path)
    guest.open(interrupts: 0x01)
    guest.write(0x42, to: .data)
    let typed = Array("0123456789 0123456789".utf8)
    #expect(program.write(typed) == typed.count)
    #expect(eventually { guest.interruptLevel })
    device.reset()
    #expect(!guest.interruptLevel)
    #expect(guest.read(.interruptEnable) == 0)
    guest.open()
    #expect(guest.receive(typed.count) == typed)
    #expect(program.read(1) == [0x42])
  }

  @Test func `Resets of the serial device do no harm while the far end does not read`() throws {
    let path = FilePath("/tmp/serial-reset-\(UInt64.random(in: 0 ... .max))")
    let device = try SerialDevice(.socket(try ListeningSocket(path: path)))
    let guest = Guest(device)
    guest.open()
    let stuck = guest.send(Array(repeating: 0, count: 64 << 10)[...], patience: .milliseconds(50))
    #expect(stuck < 64 << 10)
    for _ in 0..<5 {
      device.reset()
      guest.open()
      for _ in 0..<UART16550.fifoDepth { guest.write(1, to: .data) }
    }
    #expect(!guest.isTransmitterEmpty)
  }

  @Test func `A client that disconnects does not change the serial device`() {
    guest.open(interrupts: 0x02)
    device.clientLeft()
    #expect(guest.interruptLevel)
    #expect(guest.read(.interruptEnable) == 0x02)
  }

  @Test func `A closed serial device answers register accesses and discards its output`() {
    device.close()
    device.close()
    guest.open()
    #expect(guest.send(Array(repeating: 0x41, count: 64 << 10)[...]) == 64 << 10)
    #expect(guest.read(.lineControl) == 0x03)
  }
}
