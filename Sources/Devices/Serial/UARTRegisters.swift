extension UART16550 {
  /// A register by its offset; some have two or three functions (National PC16550D, table II).
  public enum Register: UInt8, CaseIterable, Sendable {
    /// RBR when read, THR when written; the low byte of the divisor while DLAB is set.
    case data
    /// IER; the high byte of the divisor while DLAB is set.
    case interruptEnable
    /// IIR when read, FCR when written.
    case interruptIdentification
    /// LCR.
    case lineControl
    /// MCR.
    case modemControl
    /// LSR; writes have no effect.
    case lineStatus
    /// MSR; writes have no effect.
    case modemStatus
    /// SCR: a byte without effect.
    case scratch
  }

  /// The modem input lines, as in the upper half of MSR.
  public struct ModemLines: OptionSet, Codable, Sendable {
    /// Bits 4 to 7 of the MSR.
    public let rawValue: UInt8

    /// Wraps register bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// CTS.
    public static let clearToSend = ModemLines(rawValue: 0x10)
    /// DSR.
    public static let dataSetReady = ModemLines(rawValue: 0x20)
    /// RI.
    public static let ringIndicator = ModemLines(rawValue: 0x40)
    /// DCD.
    public static let carrierDetect = ModemLines(rawValue: 0x80)
  }

  struct InterruptEnable: OptionSet, Codable, Sendable {
    let rawValue: UInt8
    static let received = InterruptEnable(rawValue: 0x01)
    static let transmitterEmpty = InterruptEnable(rawValue: 0x02)
    static let lineStatus = InterruptEnable(rawValue: 0x04)
    static let modemStatus = InterruptEnable(rawValue: 0x08)
    /// The upper bits read as zero; drivers use this to distinguish a 16550A from its successors.
    static let implemented: UInt8 = 0x0F
  }

  struct FIFOControl: OptionSet, Codable, Sendable {
    let rawValue: UInt8
    static let enable = FIFOControl(rawValue: 0x01)
    static let clearReceiver = FIFOControl(rawValue: 0x02)
    static let clearTransmitter = FIFOControl(rawValue: 0x04)

    /// Number of characters that triggers "received data available" (bits 6 and 7).
    var trigger: Int {
      switch rawValue >> 6 {
      case 0: 1
      case 1: 4
      case 2: 8
      default: 14
      }
    }
  }

  struct LineControl: OptionSet, Codable, Sendable {
    let rawValue: UInt8
    static let breakControl = LineControl(rawValue: 0x40)
    static let divisorLatch = LineControl(rawValue: 0x80)
  }

  struct ModemControl: OptionSet, Codable, Sendable {
    let rawValue: UInt8
    static let dataTerminalReady = ModemControl(rawValue: 0x01)
    static let requestToSend = ModemControl(rawValue: 0x02)
    static let output1 = ModemControl(rawValue: 0x04)
    static let output2 = ModemControl(rawValue: 0x08)
    static let loopback = ModemControl(rawValue: 0x10)
    static let implemented: UInt8 = 0x1F
  }

  struct LineStatus: OptionSet, Codable, Sendable {
    let rawValue: UInt8
    static let dataReady = LineStatus(rawValue: 0x01)
    static let overrun = LineStatus(rawValue: 0x02)
    static let framingError = LineStatus(rawValue: 0x08)
    static let breakReceived = LineStatus(rawValue: 0x10)
    static let holdingRegisterEmpty = LineStatus(rawValue: 0x20)
    static let transmitterEmpty = LineStatus(rawValue: 0x40)
    static let errorInFIFO = LineStatus(rawValue: 0x80)
  }
}
