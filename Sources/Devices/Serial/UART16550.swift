/// A 16550A UART with its eight registers and two FIFOs, as a value.
///
/// It has no notion of time: a character is sent when ``takeTransmitted()`` is called, and received
/// when ``receive(_:)`` is called. So rate and format (divisor, word length, parity) are stored for
/// the guest without effect, and parity or framing errors never occur, except with a break.
///
/// The interrupt is level-triggered, and unlike on an ISA card it is not gated by OUT2: PCI cards
/// have no such gate.
public struct UART16550: Codable, Sendable {
  /// Capacity of a FIFO in characters; while FIFOs are disabled, each direction holds one.
  public static let fifoDepth = 16

  /// A character, and whether it stands for a break.
  ///
  /// The guest acknowledges the break by reading LSR.
  struct ReceivedCharacter: FIFOElement {
    var byte: UInt8 = 0
    var isBreak = false

    static var filler: ReceivedCharacter { ReceivedCharacter() }
  }

  var received = ShortFIFO<ReceivedCharacter>()
  var transmitted = ShortFIFO<UInt8>()
  /// The value of RBR while nothing is received: the last character.
  var lastReceived: UInt8 = 0
  var hasOverrun = false
  /// Whether the driver has seen since the last delivery that no interrupt is pending.
  ///
  /// It has then left its interrupt handler, or is about to.
  var wasSeenIdle = true
  var isTransmitterEmptyPending = false

  var interruptEnable: InterruptEnable = []
  /// Only the enable bit and the trigger level are stored.
  var fifoControl: FIFOControl = []
  var lineControl: LineControl = []
  var modemControl: ModemControl = []
  /// The lower half of MSR.
  var modemDeltas: UInt8 = 0
  var modemInputs: ModemLines = [.clearToSend, .dataSetReady, .carrierDetect]
  var scratch: UInt8 = 0

  /// The divisor of the baud rate generator, whose input is 1.8432 MHz / 16.
  public internal(set) var divisor: UInt16 = 12
  /// Number of characters that the guest wrote without room (LSR bit 5 clear).
  ///
  /// They are lost, as on the real chip.
  public internal(set) var lostTransmissions = 0

  /// The state after power-on, with CTS, DSR and DCD asserted at the input pins.
  public init() {}

  /// Master reset: registers and FIFOs are as after power-on; the modem lines are set by the far
  /// end and kept.
  public mutating func reset() {
    let inputs = modemInputs
    self = UART16550()
    modemInputs = inputs
  }

  /// What is wrong with a state that comes from elsewhere; nil if nothing.
  var problem: String? {
    if received.count > depth || transmitted.count > depth {
      return "\(received.count) and \(transmitted.count) characters, where a FIFO holds \(depth)"
    }
    if !(0...Int(Int32.max) ~= lostTransmissions) { return "\(lostTransmissions) lost characters" }
    let bits = [
      interruptEnable.rawValue & ~InterruptEnable.implemented, fifoControl.rawValue & ~0xC1,
      modemControl.rawValue & ~ModemControl.implemented, modemDeltas & 0xF0,
      modemInputs.rawValue & 0x0F,
    ]
    return bits.allSatisfy { $0 == 0 } ? nil : "a register has bits that it does not implement"
  }

  var isFIFOEnabled: Bool { fifoControl.contains(.enable) }
  var depth: Int { isFIFOEnabled ? Self.fifoDepth : 1 }
  var isLoopedBack: Bool { modemControl.contains(.loopback) }
}
