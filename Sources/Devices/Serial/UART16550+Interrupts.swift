extension UART16550 {
  /// What interrupts, by the code that IIR shows for it (PC16550D, table IV).
  enum Interrupt: UInt8 {
    case lineStatus = 0x06
    case received = 0x04
    case timeout = 0x0C
    case transmitterEmpty = 0x02
    case modemStatus = 0x00
  }

  private static let nothingPending: UInt8 = 0x01
  private static let fifosEnabled: UInt8 = 0xC0

  /// Whether the chip asserts its interrupt.
  public var interruptLevel: Bool { interrupt != nil }

  /// The enabled interrupt of the highest priority.
  ///
  /// Characters below the trigger level count as timed out at once: there is no character time here,
  /// and whoever gives has given all he had.
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

  /// IIR.
  ///
  /// Reading it acknowledges the transmitter's interrupt if that is what it reports.
  mutating func readIdentification() -> UInt8 {
    let reported = interrupt
    if reported == nil { wasSeenIdle = true }
    if reported == .transmitterEmpty { isTransmitterEmptyPending = false }
    let code = reported?.rawValue ?? Self.nothingPending
    return isFIFOEnabled ? code | Self.fifosEnabled : code
  }
}
