/// The far side of the chip: the serial line and the modem lines.
extension UART16550 {
  /// How many characters can come in without an overrun; none while the receiver is looped back.
  public var room: Int { isLoopedBack ? 0 : depth - received.count }

  /// A character comes in; with no ``room`` it is an overrun, and looped back nobody hears it.
  public mutating func receive(_ byte: UInt8) {
    guard !isLoopedBack else { return }
    store(ReceivedCharacter(byte: byte))
  }

  /// A break comes in: a zero character with break and framing error.
  public mutating func receiveBreak() {
    guard !isLoopedBack else { return }
    store(ReceivedCharacter(isBreak: true))
  }

  /// Takes the oldest character that was not read, so that a reset need not lose it; breaks are
  /// dropped.
  mutating func takeReceived() -> UInt8? {
    while let character = received.popFirst() {
      if !character.isBreak { return character.byte }
    }
    return nil
  }

  /// Whether a character waits to be sent.
  public var isTransmitting: Bool { !transmitted.isEmpty }

  /// Takes the next character to be sent; taking the last one makes the transmitter empty.
  public mutating func takeTransmitted() -> UInt8? {
    guard let byte = transmitted.popFirst() else { return nil }
    if transmitted.isEmpty { isTransmitterEmptyPending = true }
    return byte
  }

  /// Whether the guest holds the line in a break (LCR bit 6).
  public var transmitsBreak: Bool { lineControl.contains(.breakControl) && !isLoopedBack }

  /// Whether the guest says that it is there: DTR or RTS asserted.
  public var isTerminalReady: Bool {
    !isLoopedBack && !modemControl.isDisjoint(with: [.dataTerminalReady, .requestToSend])
  }

  /// Changes the modem lines at the pins of the chip.
  public mutating func setModemLines(_ lines: ModemLines) {
    changingModemLines { $0.modemInputs = lines }
  }

  mutating func store(_ character: ReceivedCharacter) {
    if received.count < depth {
      received.append(character)
    } else {
      // A full FIFO keeps what it has; the lone receive buffer is overwritten.
      hasOverrun = true
      if !isFIFOEnabled { received.replaceLast(with: character) }
    }
  }

  /// The modem lines as the guest sees them: the pins, or the chip's own outputs looped back.
  var modemLines: ModemLines {
    guard isLoopedBack else { return modemInputs }
    var lines: ModemLines = []
    if modemControl.contains(.requestToSend) { lines.insert(.clearToSend) }
    if modemControl.contains(.dataTerminalReady) { lines.insert(.dataSetReady) }
    if modemControl.contains(.output1) { lines.insert(.ringIndicator) }
    if modemControl.contains(.output2) { lines.insert(.carrierDetect) }
    return lines
  }

  /// Makes a change and notes in the delta bits what it did to the lines that the guest sees.
  mutating func changingModemLines(_ change: (inout UART16550) -> Void) {
    let before = modemLines
    change(&self)
    var changed = before.symmetricDifference(modemLines)
    // Of the ring indicator only the end of a ring counts (TERI).
    if !before.contains(.ringIndicator) { changed.remove(.ringIndicator) }
    modemDeltas |= changed.rawValue >> 4
  }
}
