internal import VFIOUserTransport

/// What can change in configuration space, by offset.
struct ConfigurationRecord: Codable, Equatable, Sendable {
  /// What a register holds.
  struct Line: Codable, Equatable, Sendable {
    var offset: UInt64
    var value: UInt64
  }

  var registers: [Line]
}

extension ConfigurationSpace {
  /// What the registers hold that can change.
  var record: ConfigurationRecord {
    let values = registers.values.withLock { $0 }
    let lines = zip(registers.registers, values).filter { canChange($0.0) }.map {
      ConfigurationRecord.Line(offset: $0.offset, value: $1)
    }
    return ConfigurationRecord(registers: lines)
  }

  /// Checks whether registers can hold what a record says.
  ///
  /// - Returns: what all registers are to hold; those that the record does not have are as after a reset.
  func check(_ record: ConfigurationRecord) throws(StateError) -> [UInt64] {
    var loaded = registers.registers.map(\.reset)
    var places: [UInt64: Int] = [:]
    for (place, register) in registers.registers.enumerated() where canChange(register) {
      places[register.offset] = place
    }
    for line in record.registers {
      guard let place = places.removeValue(forKey: line.offset) else {
        throw StateError("configuration space has no register to load at \(hex(line.offset))")
      }
      let register = registers.registers[place]
      let fixed =
        ownOffsets.contains(line.offset)
        ? ~register.width.bits : ~(register.writable | register.clearedByOne)
      guard (line.value ^ register.reset) & fixed == 0,
        ownOffsets.contains(line.offset) || register.canBeWritten(line.value)
      else {
        throw StateError(
          """
          the register \(register.name) at \(hex(line.offset)) of configuration space holds \(hex(line.value)), \
          which it cannot: it has \(hex(register.reset)) after a reset
          """)
      }
      loaded[place] = line.value
    }
    return loaded
  }

  /// Has the registers hold what was checked, and what depends on them follow.
  func apply(_ values: [UInt64]) {
    registers.values.withLock { $0 = values }
    for (register, value) in zip(registers.registers, values)
    where !ownOffsets.contains(register.offset) {
      // A write that changes and covers nothing: the framework's hooks derive what they keep from the value.
      let write = Register.Write(previous: value, value: value, written: 0, covered: 0)
      try? register.onWrite?(write, registers)
    }
  }

  private func canChange(_ register: Register) -> Bool {
    register.writable | register.clearedByOne != 0 || ownOffsets.contains(register.offset)
  }
}

extension Register {
  /// Whether a write after a reset gives it this value.
  fileprivate func canBeWritten(_ value: UInt64) -> Bool {
    let write = Write(previous: reset, value: value, written: value, covered: width.bits)
    return restrict.map { $0(write) == value } ?? true
  }
}
