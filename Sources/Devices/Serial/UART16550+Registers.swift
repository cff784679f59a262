extension UART16550 {
  /// Reads a register, with its side effects.
  public mutating func read(_ register: Register) -> UInt8 {
    switch register {
    case .data: isDivisorShown ? UInt8(truncatingIfNeeded: divisor) : readReceived()
    case .interruptEnable:
      isDivisorShown ? UInt8(truncatingIfNeeded: divisor >> 8) : interruptEnable.rawValue
    case .interruptIdentification: readIdentification()
    case .lineControl: lineControl.rawValue
    case .modemControl: modemControl.rawValue
    case .lineStatus: readLineStatus()
    case .modemStatus: readModemStatus()
    case .scratch: scratch
    }
  }

  /// Writes a register, with its side effects.
  public mutating func write(_ value: UInt8, to register: Register) {
    switch register {
    case .data:
      if isDivisorShown { divisor = divisor & 0xFF00 | UInt16(value) } else { transmit(value) }
    case .interruptEnable:
      if isDivisorShown {
        divisor = divisor & 0x00FF | UInt16(value) << 8
      } else {
        setInterruptEnable(InterruptEnable(rawValue: value & InterruptEnable.implemented))
      }
    case .interruptIdentification: setFIFOControl(FIFOControl(rawValue: value))
    case .lineControl: setLineControl(LineControl(rawValue: value))
    case .modemControl:
      changingModemLines {
        $0.modemControl = ModemControl(rawValue: value & ModemControl.implemented)
      }
    case .lineStatus, .modemStatus: break
    case .scratch: scratch = value
    }
  }

  private var isDivisorShown: Bool { lineControl.contains(.divisorLatch) }

  private mutating func readReceived() -> UInt8 {
    if let character = received.popFirst() { lastReceived = character.byte }
    return lastReceived
  }

  private mutating func readLineStatus() -> UInt8 {
    let status = lineStatus
    hasOverrun = false
    received.first?.isBreak = false
    return status.rawValue
  }

  private mutating func readModemStatus() -> UInt8 {
    let status = modemLines.rawValue | modemDeltas
    modemDeltas = 0
    return status
  }

  /// The value of LSR.
  ///
  /// Errors belong to the character at the head of the FIFO, an overrun to none.
  var lineStatus: LineStatus {
    var status: LineStatus = []
    if let first = received.first {
      status.insert(.dataReady)
      if first.isBreak { status.formUnion([.breakReceived, .framingError]) }
    }
    if hasOverrun { status.insert(.overrun) }
    if transmitted.isEmpty { status.formUnion([.holdingRegisterEmpty, .transmitterEmpty]) }
    if isFIFOEnabled, received.contains(where: \.isBreak) { status.insert(.errorInFIFO) }
    return status
  }

  private mutating func transmit(_ byte: UInt8) {
    isTransmitterEmptyPending = false
    if isLoopedBack {
      store(ReceivedCharacter(byte: byte))
      // In loopback mode a character is sent immediately.
      isTransmitterEmptyPending = transmitted.isEmpty
    } else if transmitted.count < depth {
      transmitted.append(byte)
    } else {
      lostTransmissions += 1
      if !isFIFOEnabled { transmitted.replaceLast(with: byte) }
    }
  }

  /// Sets IER.
  ///
  /// Setting bit 1 while the transmitter is empty raises the transmitter empty interrupt, even if
  /// it had been acknowledged: drivers start sending this way, and Linux tests UARTs for it.
  private mutating func setInterruptEnable(_ value: InterruptEnable) {
    if interruptEnable.symmetricDifference(value).contains(.transmitterEmpty) {
      isTransmitterEmptyPending = value.contains(.transmitterEmpty) && transmitted.isEmpty
    }
    interruptEnable = value
    wasSeenIdle = true
  }

  private mutating func setFIFOControl(_ value: FIFOControl) {
    let changesMode = value.contains(.enable) != isFIFOEnabled
    if changesMode || value.isSuperset(of: [.enable, .clearReceiver]) { received.removeAll() }
    if changesMode || value.isSuperset(of: [.enable, .clearTransmitter]), !transmitted.isEmpty {
      transmitted.removeAll()
      isTransmitterEmptyPending = true
    }
    // With bit 0 clear the other bits are not programmed; bit 5 is reserved (64-byte FIFOs
    // elsewhere).
    let kept: UInt8 = value.contains(.enable) ? value.rawValue & 0xC1 : 0
    fifoControl = FIFOControl(rawValue: kept)
  }

  private mutating func setLineControl(_ value: LineControl) {
    let begins = value.contains(.breakControl) && !lineControl.contains(.breakControl)
    lineControl = value
    if begins, isLoopedBack { store(ReceivedCharacter(isBreak: true)) }
  }
}
