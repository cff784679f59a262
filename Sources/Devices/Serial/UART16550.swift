/// A 16550A, the serial chip of the PC: its eight registers and its two FIFOs, as a value.
///
/// There is no time in it: a character is sent when somebody takes it with ``takeTransmitted()``, and
/// received when somebody calls ``receive(_:)``. So rate and format (divisor, word length, parity)
/// are remembered for the guest and change nothing; a parity or framing error is never made up.
///
/// The interrupt is a level, and unlike on an ISA card OUT2 does not gate it: PCI cards have no such
/// gate.
public struct UART16550: Sendable {
  /// Characters that a FIFO holds; while FIFOs are off, each direction holds one.
  public static let fifoDepth = 16

  /// A character and whether it stands for a break.
  ///
  /// The guest has seen that once it has read LSR.
  struct ReceivedCharacter: Sendable {
    var byte: UInt8 = 0
    var isBreak = false
  }

  var received = ShortFIFO(filler: ReceivedCharacter())
  var transmitted = ShortFIFO<UInt8>(filler: 0)
  /// What RBR shows when nothing is there: the last character.
  var lastReceived: UInt8 = 0
  var hasOverrun = false
  /// Whether the driver has seen since the last delivery that nothing is pending: it has left its
  /// interrupt handler, or is about to.
  var wasSeenIdle = true
  var isTransmitterEmptyPending = false

  var interruptEnable: InterruptEnable = []
  /// Only the enable bit and the trigger level are kept.
  var fifoControl: FIFOControl = []
  var lineControl: LineControl = []
  var modemControl: ModemControl = []
  /// The lower half of the MSR.
  var modemDeltas: UInt8 = 0
  var modemInputs: ModemLines = [.clearToSend, .dataSetReady, .carrierDetect]
  var scratch: UInt8 = 0

  /// What the baud rate generator divides 1.8432 MHz / 16 by.
  public internal(set) var divisor: UInt16 = 12
  /// Characters that the guest wrote although there was no room (LSR bit 5 clear); they are lost, as
  /// they are on the chip.
  public internal(set) var lostTransmissions = 0

  /// The chip after power-on, with CTS, DSR and DCD asserted at its pins.
  public init() {}

  /// Master reset: registers and FIFOs as after power-on; the modem lines are what the far end makes
  /// them.
  public mutating func reset() {
    let inputs = modemInputs
    self = UART16550()
    modemInputs = inputs
  }

  var isFIFOEnabled: Bool { fifoControl.contains(.enable) }
  var depth: Int { isFIFOEnabled ? Self.fifoDepth : 1 }
  var isLoopedBack: Bool { modemControl.contains(.loopback) }
}
