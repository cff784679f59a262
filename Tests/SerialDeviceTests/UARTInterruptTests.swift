import SerialDevice
import Testing

/// What interrupts, when, and what ends it.
@Suite struct UARTInterruptTests {
  private var uart = UART16550()

  @Test func `Each interrupt source of the UART is reported by priority and ends in its own way`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(0x0F, to: .interruptEnable)
    uart.setModemLines([])
    uart.receiveBreak()
    #expect(uart.interruptLevel)
    #expect(uart.read(.interruptIdentification) == 0xC6)
    _ = uart.read(.lineStatus)
    #expect(uart.read(.interruptIdentification) == 0xC4)
    _ = uart.read(.data)
    #expect(uart.read(.interruptIdentification) == 0xC2)
    #expect(uart.read(.interruptIdentification) == 0xC0)
    _ = uart.read(.modemStatus)
    #expect(uart.read(.interruptIdentification) == 0xC1)
    #expect(!uart.interruptLevel)
  }

  @Test func `The interrupt identification register has no FIFO bits without FIFOs`() {
    var uart = uart
    uart.write(0x0F, to: .interruptEnable)
    uart.receive(1)
    #expect(uart.read(.interruptIdentification) == 0x04)
  }

  @Test(arguments: [0x01, 0x02, 0x04, 0x08])
  func `An interrupt source of the UART that is not enabled does not interrupt`(source: UInt8) {
    var uart = uart
    uart.setModemLines([])
    uart.receiveBreak()
    uart.write(0x0F & ~source, to: .interruptEnable)
    let mine: [UInt8: UInt8] = [0x01: 0x04, 0x02: 0x02, 0x04: 0x06, 0x08: 0x00]
    var seen: Set<UInt8> = []
    while uart.interruptLevel {
      seen.insert(uart.read(.interruptIdentification))
      if seen.contains(0x06) { _ = uart.read(.lineStatus) }
      if seen.contains(0x04) { _ = uart.read(.data) }
      if seen.contains(0x00) { _ = uart.read(.modemStatus) }
    }
    #expect(seen == Set(mine.values).subtracting([mine[source] ?? 0xFF]))
  }

  @Test(arguments: [(UInt8(0x01), 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
  func `Data below the trigger level is reported as a timeout, data at it as received data`(
    control: UInt8, trigger: Int
  ) {
    var uart = uart
    uart.write(control, to: .interruptIdentification)
    uart.write(0x01, to: .interruptEnable)
    #expect(uart.read(.interruptIdentification) == 0xC1)
    for count in 1...16 {
      uart.receive(0)
      #expect(uart.read(.interruptIdentification) == (count < trigger ? 0xCC : 0xC4))
    }
    for count in (0..<16).reversed() {
      _ = uart.read(.data)
      let expected: UInt8 = count == 0 ? 0xC1 : count < trigger ? 0xCC : 0xC4
      #expect(uart.read(.interruptIdentification) == expected)
    }
  }

  @Test func `The transmitter interrupt is raised each time it is enabled`() {
    var uart = uart
    for _ in 0..<2 {
      uart.write(0x02, to: .interruptEnable)
      #expect(uart.read(.interruptIdentification) == 0x02)
      #expect(uart.read(.interruptIdentification) == 0x01)
      uart.write(0x02, to: .interruptEnable)
      #expect(uart.read(.interruptIdentification) == 0x01, "it was on already")
      uart.write(0x00, to: .interruptEnable)
    }
  }

  @Test
  func `The transmitter interrupt ends when a character is written and returns once all are sent`()
  {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(0x02, to: .interruptEnable)
    uart.write(1, to: .data)
    uart.write(2, to: .data)
    #expect(!uart.interruptLevel)
    #expect(uart.takeTransmitted() == 1)
    #expect(!uart.interruptLevel, "the FIFO is not empty")
    #expect(uart.takeTransmitted() == 2)
    #expect(uart.interruptLevel)
    #expect(uart.read(.interruptIdentification) == 0xC2)
    #expect(!uart.interruptLevel)
  }

  @Test
  func
    `The transmitter interrupt waits until the transmitter is empty if enabled while it is busy`()
  {
    var uart = uart
    uart.write(1, to: .data)
    uart.write(0x02, to: .interruptEnable)
    #expect(!uart.interruptLevel)
    _ = uart.takeTransmitted()
    #expect(uart.interruptLevel)
    uart.write(0x00, to: .interruptEnable)
    #expect(!uart.interruptLevel)
  }

  @Test func `The transmitter interrupt is not cleared by the report of another source`() {
    var uart = uart
    uart.write(0x03, to: .interruptEnable)
    uart.receive(1)
    #expect(uart.read(.interruptIdentification) == 0x04)
    _ = uart.read(.data)
    #expect(uart.read(.interruptIdentification) == 0x02)
  }

  @Test func `The transmitter interrupt is raised when a non-empty transmit FIFO is cleared`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.write(0x02, to: .interruptEnable)
    uart.write(1, to: .data)
    #expect(!uart.interruptLevel)
    uart.write(0x05, to: .interruptIdentification)
    #expect(uart.read(.interruptIdentification) == 0xC2)
  }

  @Test func `An overrun of the UART raises a line status interrupt`() {
    var uart = uart
    uart.write(0x04, to: .interruptEnable)
    uart.receive(1)
    #expect(!uart.interruptLevel)
    uart.receive(2)
    #expect(uart.read(.interruptIdentification) == 0x06)
    _ = uart.read(.lineStatus)
    #expect(!uart.interruptLevel)
  }

  @Test func `The OUT2 bit does not gate the interrupt of the UART`() {
    var uart = uart
    uart.write(0x01, to: .interruptEnable)
    uart.receive(1)
    uart.write(0x00, to: .modemControl)
    #expect(uart.interruptLevel)
    uart.write(0x08, to: .modemControl)
    #expect(uart.interruptLevel)
  }
}
