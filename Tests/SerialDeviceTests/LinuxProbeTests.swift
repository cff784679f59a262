import SerialDevice
import Testing

/// What Linux's 8250 driver does to find out which chip it has (`autoconfig`, `autoconfig_16550a`,
/// `size_fifo`, `serial8250_do_startup` in drivers/tty/serial/8250/8250_port.c).
@Suite struct LinuxProbeTests {
  private var uart = UART16550()

  @Test func `There is a UART: the lower half of the interrupt enable register is real`() {
    var uart = uart
    uart.write(0x00, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x0F == 0)
    uart.write(0x0F, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x0F == 0x0F)
  }

  @Test func `There is a UART: the loopback test passes`() {
    var uart = uart
    uart.write(0x1A, to: .modemControl)
    #expect(uart.read(.modemStatus) & 0xF0 == 0x90)
  }

  @Test func `It is a 16550A: the FIFO bits are both set after the EFR was written as a probe`() {
    var uart = uart
    uart.write(0xBF, to: .lineControl)
    uart.write(0x00, to: .interruptIdentification)
    uart.write(0x00, to: .lineControl)
    uart.write(0x01, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 6 == 3)
  }

  @Test(arguments: [UInt8(0x80), 0xBF])
  func `It is no 16650 or 16850: there is no EFR behind the divisor latch`(mode: UInt8) {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(mode, to: .lineControl)
    #expect(uart.read(.interruptIdentification) != 0)
  }

  @Test func `It is no 16750: the 64-byte bit does not read back, with and without the latch`() {
    var uart = uart
    uart.write(0x00, to: .lineControl)
    uart.write(0x21, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 5 == 6)
    uart.write(0x01, to: .interruptIdentification)
    uart.write(0x80, to: .lineControl)
    uart.write(0x21, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 5 == 6)
  }

  @Test func `It is no National Semiconductor super I/O: EXCR1 does not mirror the loopback bit`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    for value: UInt8 in [0x00, 0x10] {
      uart.write(0x00, to: .lineControl)
      uart.write(value, to: .modemControl)
      uart.write(0xE0, to: .lineControl)
      #expect(uart.read(.interruptIdentification) & 0x10 == 0)
    }
  }

  @Test func `It is no XScale: bit 6 of the interrupt enable register does not stick`() {
    var uart = uart
    uart.write(0x40, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x40 == 0)
  }

  @Test func `Its FIFO has sixteen bytes when 256 are looped back`() {
    var uart = uart
    uart.write(0x07, to: .interruptIdentification)
    uart.write(0x10, to: .modemControl)
    uart.write(0x83, to: .lineControl)
    uart.write(0x01, to: .data)
    uart.write(0x00, to: .interruptEnable)
    uart.write(0x03, to: .lineControl)
    for byte in 0..<256 { uart.write(UInt8(byte), to: .data) }
    var count = 0
    while uart.read(.lineStatus) & 0x01 != 0, count < 256 {
      _ = uart.read(.data)
      count += 1
    }
    #expect(count == 16)
  }

  @Test func `The transmitter's interrupt is not broken (UART_BUG_THRE, UART_BUG_TXEN)`() {
    var uart = uart
    for _ in 0..<3 {
      uart.write(0x02, to: .interruptEnable)
      #expect(uart.read(.lineStatus) & 0x40 != 0)
      #expect(uart.read(.interruptIdentification) & 0x01 == 0)
      uart.write(0x00, to: .interruptEnable)
    }
  }
}
