extension RegisterFile {
  /// Why a list of registers is invalid.
  ///
  /// Thrown when the file is made.
  @nonexhaustive
  public enum ValidationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Two registers overlap.
    case overlap(String, at: UInt64, with: String, from: UInt64)
    /// A register does not lie within the file.
    case outside(String, at: UInt64, end: UInt64, size: Int)
    /// A reset value or a mask has bits beyond the register's width.
    case tooWide(String, at: UInt64, bits: UInt64)
    /// Bits are both writable and cleared by writing ones.
    case ambiguous(String, at: UInt64, bits: UInt64)
    /// Two registers have the same name.
    case repeatedName(String, at: UInt64, and: UInt64)
    /// A register with an interrupt has a reset value other than zero.
    case interruptsAfterReset(String, at: UInt64, bits: UInt64)
    /// Two registers have the same interrupt source.
    case sharedInterrupt(String, and: String)

    /// A register that does not lie within a space of `size` bytes.
    static func outside(_ register: Register, size: Int) -> Self {
      let end = register.offset &+ UInt64(register.width.rawValue)
      return .outside(register.name, at: register.offset, end: end, size: size)
    }

    /// A sentence with the names and the numbers.
    public var description: String {
      switch self {
      case .overlap(let first, let firstOffset, let second, let secondOffset):
        "register \(first) at \(hex(firstOffset)) overlaps \(second) at \(hex(secondOffset))"
      case .outside(let name, let offset, let end, let size):
        "register \(name) at \(hex(offset)) ends at \(hex(end)), the space has \(hex(size)) bytes"
      case .tooWide(let name, let offset, let bits):
        "register \(name) at \(hex(offset)) has no bits \(hex(bits))"
      case .ambiguous(let name, let offset, let bits):
        "bits \(hex(bits)) of register \(name) at \(hex(offset)) are both written and cleared by ones"
      case .repeatedName(let name, let first, let second):
        "the registers at \(hex(first)) and \(hex(second)) are both called \(name)"
      case .interruptsAfterReset(let name, let offset, let bits):
        "register \(name) at \(hex(offset)) interrupts, and has bits \(hex(bits)) set after a reset"
      case .sharedInterrupt(let first, let second):
        "registers \(first) and \(second) have the same source of interrupts"
      }
    }
  }

  /// Checks that each register has a name of its own.
  static func checkNames(_ registers: [Register]) throws(ValidationError) {
    var offsets: [String: UInt64] = [:]
    for register in registers {
      if let other = offsets.updateValue(register.offset, forKey: register.name) {
        throw .repeatedName(register.name, at: other, and: register.offset)
      }
    }
  }

  /// Checks registers that are sorted by their offsets.
  static func check(_ registers: [Register], _ size: Int) throws(ValidationError) {
    var before: Register?
    for register in registers {
      guard register.lies(within: 0..<UInt64(size)) else { throw .outside(register, size: size) }
      if let before, before.end > register.offset {
        throw .overlap(before.name, at: before.offset, with: register.name, from: register.offset)
      }
      let surplus =
        (register.reset | register.writable | register.clearedByOne) & ~register.width.bits
      guard surplus == 0 else { throw .tooWide(register.name, at: register.offset, bits: surplus) }
      let both = register.writable & register.clearedByOne
      guard both == 0 else { throw .ambiguous(register.name, at: register.offset, bits: both) }
      if register.interrupt != nil, register.reset != 0 {
        throw .interruptsAfterReset(register.name, at: register.offset, bits: register.reset)
      }
      before = register
    }
    try checkInterrupts(registers)
  }

  private static func checkInterrupts(_ registers: [Register]) throws(ValidationError) {
    var names: [ObjectIdentifier: String] = [:]
    for register in registers {
      guard let interrupt = register.interrupt else { continue }
      if let other = names.updateValue(register.name, forKey: ObjectIdentifier(interrupt)) {
        throw .sharedInterrupt(other, and: register.name)
      }
    }
  }
}

/// A number in hexadecimal.
func hex(_ number: some BinaryInteger) -> String { "0x\(String(number, radix: 16))" }
