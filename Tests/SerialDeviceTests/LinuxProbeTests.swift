import SerialDevice
import Testing

/// What Linux's 8250 driver does to find out which chip it has (`autoconfig`, `autoconfig_16550a`,
/// `size_fifo`, `serial8250_do_startup` in drivers/tty/serial/8250/8250_port.c).
@Suite struct LinuxProbeTests {
  private var uart = UART16550()

  @Test func `Linux detects a UART because the low four bits of IER are writable`() {
    var uart = uart
    uart.write(0x00, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x0F == 0)
    uart.write(0x0F, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x0F == 0x0F)
  }

  @Test func `Linux detects a UART because the loopback test passes`() {
    var uart = uart
    uart.write(0x1A, to: .modemControl)
    #expect(uart.read(.modemStatus) & 0xF0 == 0x90)
  }

  @Test func `Linux detects a 16550A because both FIFO bits are set after the EFR probe`() {
    var uart = uart
    uart.write(0xBF, to: .lineControl)
    uart.write(0x00, to: .interruptIdentification)
    uart.write(0x00, to: .lineControl)
    uart.write(0x01, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 6 == 3)
  }

  @Test(arguments: [UInt8(0x80), 0xBF])
  func `Linux detects no 16650 or 16850 because there is no EFR behind the divisor latch`(
    mode: UInt8
  ) {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(mode, to: .lineControl)
    #expect(uart.read(.interruptIdentification) != 0)
  }

  @Test func `Linux detects no 16750 because the bit for 64-byte FIFOs does not read back`() {
    var uart = uart
    uart.write(0x00, to: .lineControl)
    uart.write(0x21, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 5 == 6)
    uart.write(0x01, to: .interruptIdentification)
    uart.write(0x80, to: .lineControl)
    uart.write(0x21, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) >> 5 == 6)
  }

  @Test func `Linux detects no National Semiconductor UART because EXCR1 does not mirror loopback`()
  {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    for value: UInt8 in [0x00, 0x10] {
      uart.write(0x00, to: .lineControl)
      uart.write(value, to: .modemControl)
      uart.write(0xE0, to: .lineControl)
      #expect(uart.read(.interruptIdentification) & 0x10 == 0)
    }
  }

  @Test func `Linux detects no XScale UART because bit 6 of IER does not stick`() {
    var uart = uart
    uart.write(0x40, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) & 0x40 == 0)
  }

  @Test func `Linux measures a FIFO of 16 bytes when it loops 256 bytes back`() {
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

  @Test func `Linux detects neither UART_BUG_THRE nor UART_BUG_TXEN in the transmitter interrupt`()
  {
    var uart = uart
    for _ in 0..<3 {
      uart.write(0x02, to: .interruptEnable)
      #expect(uart.read(.lineStatus) & 0x40 != 0)
      #expect(uart.read(.interruptIdentification) & 0x01 == 0)
      uart.write(0x00, to: .interruptEnable)
    }
  }
}
