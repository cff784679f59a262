/// The line side of the UART: the serial line and the modem lines.
extension UART16550 {
  /// Number of characters that can be received without an overrun; 0 in loopback mode.
  public var room: Int { isLoopedBack ? 0 : depth - received.count }

  /// Receives a character; without ``room`` this is an overrun, and in loopback mode it is ignored.
  public mutating func receive(_ byte: UInt8) {
    guard !isLoopedBack else { return }
    store(ReceivedCharacter(byte: byte))
  }

  /// Receives a break: a zero character with break and framing error.
  public mutating func receiveBreak() {
    guard !isLoopedBack else { return }
    store(ReceivedCharacter(isBreak: true))
  }

  /// Removes the oldest unread character, so that a reset does not lose it; breaks are dropped.
  mutating func takeReceived() -> UInt8? {
    while let character = received.popFirst() {
      if !character.isBreak { return character.byte }
    }
    return nil
  }

  /// Whether a character is waiting to be sent.
  public var isTransmitting: Bool { !transmitted.isEmpty }

  /// Removes the next character to be sent; removing the last one makes the transmitter empty.
  public mutating func takeTransmitted() -> UInt8? {
    guard let byte = transmitted.popFirst() else { return nil }
    if transmitted.isEmpty { isTransmitterEmptyPending = true }
    return byte
  }

  /// Whether the guest sends a break (LCR bit 6).
  public var transmitsBreak: Bool { lineControl.contains(.breakControl) && !isLoopedBack }

  /// Whether the guest is ready: DTR or RTS asserted.
  public var isTerminalReady: Bool {
    !isLoopedBack && !modemControl.isDisjoint(with: [.dataTerminalReady, .requestToSend])
  }

  /// Changes the modem lines at the input pins of the UART.
  public mutating func setModemLines(_ lines: ModemLines) {
    changingModemLines { $0.modemInputs = lines }
  }

  mutating func store(_ character: ReceivedCharacter) {
    if received.count < depth {
      received.append(character)
    } else {
      // A full FIFO keeps its contents; the single receive buffer is overwritten.
      hasOverrun = true
      if !isFIFOEnabled { received.replaceLast(with: character) }
    }
  }

  /// The modem lines visible to the guest: the input pins, or in loopback mode the UART's own
  /// outputs.
  var modemLines: ModemLines {
    guard isLoopedBack else { return modemInputs }
    var lines: ModemLines = []
    if modemControl.contains(.requestToSend) { lines.insert(.clearToSend) }
    if modemControl.contains(.dataTerminalReady) { lines.insert(.dataSetReady) }
    if modemControl.contains(.output1) { lines.insert(.ringIndicator) }
    if modemControl.contains(.output2) { lines.insert(.carrierDetect) }
    return lines
  }

  /// Makes a change and sets the delta bits for modem lines that it has changed for the guest.
  mutating func changingModemLines(_ change: (inout UART16550) -> Void) {
    let before = modemLines
    change(&self)
    var changed = before.symmetricDifference(modemLines)
    // For the ring indicator only the trailing edge counts (TERI).
    if !before.contains(.ringIndicator) { changed.remove(.ringIndicator) }
    modemDeltas |= changed.rawValue >> 4
  }
}
