/// A system call that is allowed, always or with certain arguments only.
struct SystemCallRule: Sendable {
  /// What a filter can say of an argument: pointers cannot be followed.
  struct Condition: Sendable {
    /// From 0.
    let argument: Int
    let mask: UInt64
    let value: UInt64

    /// All 64 bits, of a pointer for example.
    static func isZero(_ argument: Int) -> Self {
      Self(argument: argument, mask: .max, value: 0)
    }

    /// The 32 bits that the kernel looks at in an `int`.
    static func equals(_ argument: Int, _ value: UInt32) -> Self {
      Self(argument: argument, mask: UInt64(UInt32.max), value: UInt64(value))
    }

    /// Flags of a message without MSG_FASTOPEN, which connects.
    static func isNotFastOpen(_ argument: Int) -> Self { bits(argument, 0x2000_0000, are: 0) }

    /// Of the bits in `mask`, exactly those of `value`.
    static func bits(_ argument: Int, _ mask: UInt32, are value: UInt32) -> Self {
      Self(argument: argument, mask: UInt64(mask), value: UInt64(value))
    }
  }

  /// What becomes of the call.
  enum Verdict: Sendable {
    /// Allowed if all conditions of one of the lists hold; else, if all of one of `refused` do, ``refused``.
    case limited([[Condition]], refused: [[Condition]] = [])
    case allowed
    /// The kernel does not know it: the C library has another way then.
    case missing
    /// Not allowed, and nobody need hear of it: it is tried where there is another way.
    case refused
  }

  let call: SystemCall
  let verdict: Verdict

  init(_ call: SystemCall, _ verdict: Verdict = .allowed) {
    self.call = call
    self.verdict = verdict
  }

  /// A call whose argument is one of these.
  static func oneOf(_ call: SystemCall, _ argument: Int, _ values: [UInt32]) -> Self {
    Self(call, .limited(values.map { [.equals(argument, $0)] }))
  }
}
