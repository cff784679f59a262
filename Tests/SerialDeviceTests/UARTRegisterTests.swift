import SerialDevice
import Testing

/// The registers one by one.
@Suite struct UARTRegisterTests {
  private var uart = UART16550()

  @Test func `After power-on the transmitter is empty and nothing interrupts`() {
    var uart = uart
    #expect(uart.read(.lineStatus) == 0x60)
    #expect(uart.read(.interruptIdentification) == 0x01)
    #expect(uart.read(.interruptEnable) == 0)
    #expect(uart.read(.modemControl) == 0)
    #expect(uart.read(.modemStatus) == 0xB0)
    #expect(!uart.interruptLevel)
  }

  @Test(arguments: [UInt8(0x00), 0x55, 0xAA, 0xFF])
  func `The scratch register and the line control register keep what is written`(value: UInt8) {
    var uart = uart
    uart.write(value, to: .scratch)
    #expect(uart.read(.scratch) == value)
    uart.write(value, to: .lineControl)
    #expect(uart.read(.lineControl) == value)
  }

  @Test func `Bits that a 16550A lacks read as zero`() {
    var uart = uart
    uart.write(0xFF, to: .interruptEnable)
    #expect(uart.read(.interruptEnable) == 0x0F)
    uart.write(0xFF, to: .modemControl)
    #expect(uart.read(.modemControl) == 0x1F)
  }

  @Test func `The divisor latch hides the data and interrupt enable registers and no others`() {
    var uart = uart
    uart.receive(0x41)
    uart.write(0x05, to: .interruptEnable)
    uart.write(0x83, to: .lineControl)
    uart.write(0x34, to: .data)
    uart.write(0x12, to: .interruptEnable)
    #expect(uart.divisor == 0x1234)
    #expect(uart.read(.data) == 0x34)
    #expect(uart.read(.interruptEnable) == 0x12)
    #expect(uart.read(.lineStatus) & 0x01 == 0x01)
    uart.write(0x03, to: .lineControl)
    #expect(uart.read(.data) == 0x41)
    #expect(uart.read(.interruptEnable) == 0x05)
    #expect(!uart.isTransmitting)
  }

  @Test func `The line status and modem status registers ignore writes`() {
    var uart = uart
    uart.write(0xFF, to: .lineStatus)
    uart.write(0xFF, to: .modemStatus)
    #expect(uart.read(.lineStatus) == 0x60)
    #expect(uart.read(.modemStatus) == 0xB0)
  }

  @Test func `The receive buffer of the UART returns its last character when it is empty`() {
    var uart = uart
    #expect(uart.read(.data) == 0)
    uart.receive(0x41)
    #expect(uart.read(.data) == 0x41)
    #expect(uart.read(.data) == 0x41)
    #expect(uart.read(.lineStatus) & 0x01 == 0)
  }

  @Test func `A UART without FIFOs holds one character in each direction and keeps the newest`() {
    var uart = uart
    #expect(uart.room == 1)
    uart.receive(1)
    #expect(uart.room == 0)
    uart.receive(2)
    #expect(uart.read(.lineStatus) == 0x63)
    #expect(uart.read(.lineStatus) == 0x61, "reading the line status forgets the overrun")
    #expect(uart.read(.data) == 2)
    uart.write(3, to: .data)
    uart.write(4, to: .data)
    #expect(uart.lostTransmissions == 1)
    #expect(uart.takeTransmitted() == 4)
    #expect(uart.takeTransmitted() == nil)
  }

  @Test func `A full receive FIFO keeps what it has and reports the overrun`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    for byte in 0..<20 { uart.receive(UInt8(byte)) }
    #expect(uart.read(.lineStatus) == 0x63)
    #expect((0..<16).map { _ in uart.read(.data) } == (0..<16).map { UInt8($0) })
    #expect(uart.read(.lineStatus) == 0x60)
  }

  @Test func `A full transmit FIFO keeps what it has and counts what is lost`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    for byte in 0..<20 { uart.write(UInt8(byte), to: .data) }
    #expect(uart.read(.lineStatus) == 0)
    #expect(uart.lostTransmissions == 4)
    #expect((0..<16).map { _ in uart.takeTransmitted() } == (0..<16).map { UInt8($0) })
    #expect(uart.read(.lineStatus) == 0x60)
  }

  @Test func `The receive FIFO wraps around`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    for turn in 0..<50 {
      for byte in 0..<7 { uart.receive(UInt8(turn + byte)) }
      for byte in 0..<7 { #expect(uart.read(.data) == UInt8(turn + byte)) }
    }
  }

  @Test(arguments: [
    (UInt8(0x00), true, true), (0x01, false, false), (0x03, true, false), (0x05, false, true),
    (0x07, true, true),
  ])
  func `The FIFO control register clears the selected FIFOs, and both when the mode changes`(
    value: UInt8, clearsReceiver: Bool, clearsTransmitter: Bool
  ) {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.receive(1)
    uart.write(2, to: .data)
    uart.write(value, to: .interruptIdentification)
    #expect((uart.read(.lineStatus) & 0x01 == 0) == clearsReceiver)
    #expect(!uart.isTransmitting == clearsTransmitter)
  }

  @Test func `The FIFO control register has no effect without the enable bit`() {
    var uart = uart
    uart.receive(1)
    uart.write(0xC6, to: .interruptIdentification)
    #expect(uart.read(.data) == 1)
    #expect(uart.read(.interruptIdentification) == 0x01)
  }

  @Test func `A break is received as zero with break and framing error at its place in the FIFO`() {
    var uart = uart
    uart.write(0x01, to: .interruptIdentification)
    uart.receive(0x41)
    uart.receiveBreak()
    uart.receive(0x42)
    #expect(uart.read(.lineStatus) == 0xE1, "an error is in the FIFO, but not at its top")
    #expect(uart.read(.data) == 0x41)
    #expect(uart.read(.lineStatus) == 0xF9)
    #expect(uart.read(.lineStatus) == 0x61)
    #expect(uart.read(.data) == 0)
    #expect(uart.read(.data) == 0x42)
  }

  @Test func `A break is reported also without FIFOs`() {
    var uart = uart
    uart.receiveBreak()
    #expect(uart.read(.lineStatus) == 0x79)
    #expect(uart.read(.data) == 0)
    #expect(uart.read(.lineStatus) == 0x60)
  }

  @Test func `The guest can hold the line in a break`() {
    var uart = uart
    uart.write(0x43, to: .lineControl)
    #expect(uart.transmitsBreak)
    uart.write(0x03, to: .lineControl)
    #expect(!uart.transmitsBreak)
  }

  @Test func `Changes of the modem lines are reported once`() {
    var uart = uart
    uart.setModemLines([.dataSetReady])
    #expect(uart.read(.modemStatus) == 0x29)
    #expect(uart.read(.modemStatus) == 0x20)
    uart.setModemLines([.clearToSend, .carrierDetect])
    #expect(uart.read(.modemStatus) == 0x9B)
  }

  @Test func `The ring indicator reports its trailing edge only`() {
    var uart = uart
    uart.setModemLines([.ringIndicator])
    _ = uart.read(.modemStatus)
    uart.setModemLines([.ringIndicator])
    #expect(uart.read(.modemStatus) == 0x40)
    uart.setModemLines([])
    #expect(uart.read(.modemStatus) == 0x04)
    uart.setModemLines([.ringIndicator])
    #expect(uart.read(.modemStatus) == 0x40)
  }

  @Test func `A reset of the UART keeps nothing but the modem lines`() {
    var uart = uart
    uart.setModemLines([.dataSetReady])
    for register in UART16550.Register.allCases { uart.write(0x5F, to: register) }
    uart.receive(1)
    uart.reset()
    #expect(uart.read(.modemStatus) == 0x20)
    #expect(uart.read(.lineStatus) == 0x60)
    #expect(uart.read(.scratch) == 0)
    #expect(uart.divisor == 12)
    #expect(uart.read(.interruptIdentification) == 0x01)
  }

  @Test func `The guest is ready while it asserts DTR or RTS`() {
    var uart = uart
    for value in UInt8(0)...0x1F {
      uart.write(value, to: .modemControl)
      #expect(uart.isTerminalReady == (value & 0x03 != 0 && value & 0x10 == 0))
    }
  }
}
