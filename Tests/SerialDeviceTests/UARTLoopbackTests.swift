import SerialDevice
import Testing

/// The chip connected to itself (MCR bit 4).
@Suite struct UARTLoopbackTests {
  private static let loopback: UInt8 = 0x10
  private var uart = UART16550()

  @Test func `Data in loopback mode is received and not transmitted`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(Self.loopback, to: .modemControl)
    uart.write(0x41, to: .data)
    uart.write(0x42, to: .data)
    #expect(!uart.isTransmitting)
    #expect(uart.read(.lineStatus) == 0x61)
    #expect(uart.read(.data) == 0x41)
    #expect(uart.read(.data) == 0x42)
  }

  @Test func `The line is not received in loopback mode`() {
    var uart = uart
    uart.write(Self.loopback, to: .modemControl)
    #expect(uart.room == 0)
    uart.receive(1)
    uart.receiveBreak()
    #expect(uart.read(.lineStatus) == 0x60)
  }

  @Test func `A character that waits to be sent is still transmitted in loopback mode`() {
    var uart = uart
    uart.write(1, to: .data)
    uart.write(Self.loopback, to: .modemControl)
    #expect(uart.takeTransmitted() == 1)
  }

  @Test func `The transmitter interrupt comes at once in loopback mode`() {
    var uart = uart
    uart.write(Self.loopback, to: .modemControl)
    uart.write(0x02, to: .interruptEnable)
    _ = uart.read(.interruptIdentification)
    uart.write(1, to: .data)
    #expect(uart.read(.interruptIdentification) == 0x02)
  }

  @Test func `A break in loopback mode is received once`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(Self.loopback, to: .modemControl)
    uart.write(0x43, to: .lineControl)
    uart.write(0x43, to: .lineControl)
    #expect(!uart.transmitsBreak)
    #expect(uart.read(.lineStatus) == 0xF9)
    #expect(uart.read(.data) == 0)
    #expect(uart.read(.lineStatus) == 0x60)
  }

  @Test(arguments: UInt8(0)...0x0F)
  func `Modem outputs appear as modem inputs in loopback mode`(outputs: UInt8) {
    var uart = uart
    uart.write(Self.loopback | outputs, to: .modemControl)
    var expected: UInt8 = 0
    if outputs & 0x01 != 0 { expected |= 0x20 }
    if outputs & 0x02 != 0 { expected |= 0x10 }
    if outputs & 0x04 != 0 { expected |= 0x40 }
    if outputs & 0x08 != 0 { expected |= 0x80 }
    #expect(uart.read(.modemStatus) & 0xF0 == expected)
    uart.write(0, to: .modemControl)
    #expect(uart.read(.modemStatus) & 0xF0 == 0xB0)
  }

  @Test func `Changed modem outputs interrupt like changed modem inputs in loopback mode`() {
    var uart = uart
    uart.write(Self.loopback, to: .modemControl)
    _ = uart.read(.modemStatus)
    uart.write(0x08, to: .interruptEnable)
    uart.write(Self.loopback | 0x06, to: .modemControl)
    #expect(uart.read(.interruptIdentification) == 0x00)
    #expect(uart.read(.modemStatus) == 0x51, "RTS is CTS with a delta; a ring has only begun")
    uart.write(Self.loopback, to: .modemControl)
    #expect(uart.read(.modemStatus) == 0x05)
    #expect(!uart.interruptLevel)
  }
}
