extension UART16550 {
  /// The interrupt sources, by their code in IIR (PC16550D, table IV).
  enum Interrupt: UInt8 {
    case lineStatus = 0x06
    case received = 0x04
    case timeout = 0x0C
    case transmitterEmpty = 0x02
    case modemStatus = 0x00
  }

  private static let nothingPending: UInt8 = 0x01
  private static let fifosEnabled: UInt8 = 0xC0

  /// Whether the UART asserts its interrupt.
  public var interruptLevel: Bool { interrupt != nil }

  /// The pending enabled interrupt of the highest priority.
  ///
  /// Characters below the trigger level time out immediately: there is no character time here, and
  /// the sender has delivered all it had.
  var interrupt: Interrupt? {
    let errors: LineStatus = [.overrun, .breakReceived, .framingError]
    if interruptEnable.contains(.lineStatus), !lineStatus.isDisjoint(with: errors) {
      return .lineStatus
    }
    if interruptEnable.contains(.received), !received.isEmpty {
      return !isFIFOEnabled || received.count >= fifoControl.trigger ? .received : .timeout
    }
    if interruptEnable.contains(.transmitterEmpty), isTransmitterEmptyPending {
      return .transmitterEmpty
    }
    return interruptEnable.contains(.modemStatus) && modemDeltas != 0 ? .modemStatus : nil
  }

  /// The value of IIR.
  ///
  /// Reading it acknowledges the transmitter empty interrupt if that is the one reported.
  mutating func readIdentification() -> UInt8 {
    let reported = interrupt
    if reported == nil { wasSeenIdle = true }
    if reported == .transmitterEmpty { isTransmitterEmptyPending = false }
    let code = reported?.rawValue ?? Self.nothingPending
    return isFIFOEnabled ? code | Self.fifosEnabled : code
  }
}
