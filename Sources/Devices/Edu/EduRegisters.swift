/// The registers of the device and their effects, as a value without bus, lock or thread.
///
/// Work that takes time is returned as an ``EduEffect``, and its result is passed back when it is done,
/// unless the device was reset or the client has disconnected since.
struct EduRegisters: Codable, Sendable {
  /// Major and minor version, and 0xed.
  static let identification: UInt32 = 0x0100_00ED
  /// The bits of the interrupt status for a factorial and for a transfer.
  static let factorialInterrupt: UInt32 = 0x001
  static let transferInterrupt: UInt32 = 0x100

  private(set) var interruptStatus: UInt32 = 0
  /// The buffer at the device's address 0x40000, for transfers only; not visible in the BAR.
  private(set) var buffer = [UInt8](repeating: 0, count: EduTransfer.bufferSize)

  private var liveness: UInt32 = 0
  private var factorial: UInt32 = 0
  private var isComputing = false
  private var interruptsAfterFactorial = false
  private var source: UInt64 = 0
  private var destination: UInt64 = 0
  private var count: UInt64 = 0
  private var command: EduCommand = []

  /// Offsets in BAR 0.
  enum Offset: UInt64, CaseIterable, Sendable {
    case identification = 0x00
    case liveness = 0x04
    case factorial = 0x08
    case status = 0x20
    case interruptStatus = 0x24
    case interruptRaise = 0x60
    case interruptAcknowledge = 0x64
    case source = 0x80
    case destination = 0x88
    case count = 0x90
    case command = 0x98

    /// Whether the register allows accesses of this width; the transfer registers allow eight bytes too.
    func takes(width: Int) -> Bool { width == 4 || width == 8 && rawValue >= 0x80 }
  }

  /// Bits of the status register.
  private enum Status {
    static let computing: UInt32 = 0x01
    static let interruptsAfterFactorial: UInt32 = 0x80
  }

  /// The value that is read, nil if nothing can be read there.
  func value(at offset: Offset) -> UInt64? {
    switch offset {
    case .identification: UInt64(Self.identification)
    case .liveness: UInt64(liveness)
    case .factorial: UInt64(factorial)
    case .status: UInt64(status)
    case .interruptStatus: UInt64(interruptStatus)
    case .interruptRaise, .interruptAcknowledge: nil
    case .source: source
    case .destination: destination
    case .count: count
    case .command: UInt64(command.rawValue)
    }
  }

  private var status: UInt32 {
    (isComputing ? Status.computing : 0)
      | (interruptsAfterFactorial ? Status.interruptsAfterFactorial : 0)
  }

  /// Handles a write; a narrow one is extended with zeros.
  mutating func write(_ value: UInt64, at offset: Offset) -> EduEffect {
    let word = UInt32(truncatingIfNeeded: value)
    switch offset {
    case .identification, .interruptStatus: return .none
    case .liveness: liveness = ~word
    case .factorial: return compute(word)
    case .status: interruptsAfterFactorial = word & Status.interruptsAfterFactorial != 0
    case .interruptRaise: return raise(word)
    case .interruptAcknowledge:
      interruptStatus &= ~word
    case .source where !isTransferring: source = value
    case .destination where !isTransferring: destination = value
    case .count where !isTransferring: count = value
    case .command: return transfer(EduCommand(rawValue: value))
    case .source, .destination, .count: break
    }
    return .none
  }

  private mutating func raise(_ bits: UInt32) -> EduEffect {
    interruptStatus |= bits
    return interruptStatus != 0 ? .raised : .none
  }

  /// One factorial at a time: a write while one is computed is ignored.
  private mutating func compute(_ number: UInt32) -> EduEffect {
    guard !isComputing else { return .none }
    factorial = number
    isComputing = true
    return .compute(EduFactorial(number: number))
  }

  private var isTransferring: Bool { command.contains(.run) }

  /// One transfer at a time, and only if the start bit is set.
  private mutating func transfer(_ new: EduCommand) -> EduEffect {
    guard !isTransferring, new.contains(.run) else { return .none }
    command = new
    return .transfer(
      EduTransfer(source: source, destination: destination, count: count, command: new))
  }

  // MARK: Work that comes back

  /// Stores the computed factorial.
  mutating func finish(_ work: EduFactorial) -> EduEffect {
    factorial = work.result
    isComputing = false
    return interruptsAfterFactorial ? raise(Self.factorialInterrupt) : .none
  }

  /// Ends the transfer, also a failed one, for which the device has no register.
  mutating func finish(_ work: EduTransfer) -> EduEffect {
    command.remove(.run)
    return command.contains(.interrupt) ? raise(Self.transferInterrupt) : .none
  }

  /// Stores the bytes of a transfer from memory.
  ///
  /// - Precondition: `range` lies in the buffer, and `bytes` fill it.
  mutating func fill(_ range: Range<Int>, with bytes: [UInt8]) {
    buffer.replaceSubrange(range, with: bytes)
  }

  /// The bytes of a transfer to memory.
  func content(of range: Range<Int>) -> [UInt8] { Array(buffer[range]) }

  /// Ends work that could not be started.
  mutating func abandonTransfer(_ work: EduEffect) -> EduEffect {
    switch work {
    case .compute: isComputing = false
    case .transfer: command.remove(.run)
    default: break
    }
    return .none
  }

  /// Drops running work; registers and buffer stay.
  mutating func abandonWork() {
    isComputing = false
    command.remove(.run)
  }

  /// Resets to the state after power-on.
  mutating func reset() { self = EduRegisters() }

  /// What is wrong with registers that come from elsewhere, of a device with nothing under way; nil if nothing.
  var problem: String? {
    if buffer.count != EduTransfer.bufferSize {
      return "the buffer has \(buffer.count) bytes instead of \(EduTransfer.bufferSize)"
    }
    return isComputing || isTransferring ? "work is under way, and nobody does it" : nil
  }
}

/// The effect of a write, or of the end of some work.
enum EduEffect: Equatable, Sendable {
  /// Nothing.
  case none
  /// Raise the interrupt.
  case raised
  /// Compute a factorial.
  case compute(EduFactorial)
  /// Carry out a transfer.
  case transfer(EduTransfer)
}
