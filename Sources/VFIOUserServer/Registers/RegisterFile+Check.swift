extension RegisterFile {
  /// What is wrong with a list of registers.
  ///
  /// Found when the file is made, never in front of a guest.
  @nonexhaustive
  public enum ValidationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Two registers want the same byte.
    case overlap(String, at: Int, with: String, from: Int)
    /// A register does not lie within the file.
    case outside(String, at: Int, end: Int, size: Int)
    /// A reset value or a mask has bits that the register has not.
    case tooWide(String, at: Int, bits: UInt64)
    /// Bits cannot be both written and cleared by writing ones.
    case ambiguous(String, at: Int, bits: UInt64)
    /// Two registers have the same name.
    case repeatedName(String, at: Int, and: Int)
    /// A register that interrupts has bits set after a reset, when all interrupts are low.
    case interruptsAfterReset(String, at: Int, bits: UInt64)
    /// Two registers have the same source of interrupts: neither would know when to lower it.
    case sharedInterrupt(String, and: String)

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
    var offsets: [String: Int] = [:]
    for register in registers {
      if let other = offsets.updateValue(register.offset, forKey: register.name) {
        throw .repeatedName(register.name, at: other, and: register.offset)
      }
    }
  }

  /// Checks registers that are in the order of their offsets.
  static func check(_ registers: [Register], _ size: Int) throws(ValidationError) {
    var before: Register?
    for register in registers {
      // An offset near Int.max is a mistake of the device's author; its end must not overflow.
      guard register.offset >= 0, register.offset <= size,
        register.width.rawValue <= size - register.offset
      else {
        throw .outside(
          register.name, at: register.offset, end: register.offset &+ register.width.rawValue,
          size: size)
      }
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

/// A number as people write offsets and sizes.
func hex(_ number: some BinaryInteger) -> String { "0x\(String(number, radix: 16))" }
