internal import LinuxPrimitives
public import SystemPackage

/// The registers of a region and their values.
///
/// An access may have any width and offset: each register in its range gets its bytes. Bytes between
/// registers read as zero and ignore writes. Every method may be called from any thread; hooks run on the
/// thread of the access, without the file's lock.
public final class RegisterFile: Sendable {
  /// The properties of a register that each access needs; without references, which would have to be counted.
  private struct Shape {
    let offset: Int
    let width: Int
    let writable: UInt64
    let clearedByOne: UInt64
    let hasReadHook: Bool
    let hasWriteHook: Bool
    let hasInterrupt: Bool
  }

  /// Size of the region in bytes.
  public let size: Int
  let registers: [Register]
  private let shapes: [Shape]
  let values: Monitor<[UInt64]>
  private let places: [ObjectIdentifier: Int]

  /// Makes a file of registers, listed in any order.
  ///
  /// - Parameters:
  ///   - size: of the region, in bytes.
  ///   - registers: the registers; names are unique.
  /// - Throws: ``ValidationError`` if two registers overlap or have the same name, if one lies outside, or if
  ///   a mask does not fit its width.
  public convenience init(size: Int, _ registers: [Register]) throws(ValidationError) {
    try self.init(size: size, registers, hasUniqueNames: true)
  }

  /// Makes a file in which several registers may have the same name.
  init(size: Int, _ registers: [Register], hasUniqueNames: Bool) throws(ValidationError) {
    if hasUniqueNames { try Self.checkNames(registers) }
    let sorted = registers.sorted { $0.offset < $1.offset }
    try Self.check(sorted, size)
    self.size = size
    self.registers = sorted
    shapes = sorted.map {
      Shape(
        offset: Int($0.offset), width: $0.width.rawValue, writable: $0.writable,
        clearedByOne: $0.clearedByOne, hasReadHook: $0.onRead != nil,
        hasWriteHook: $0.onWrite != nil, hasInterrupt: $0.interrupt != nil)
    }
    values = Monitor(sorted.map(\.reset))
    places = Dictionary(
      sorted.enumerated().map { (ObjectIdentifier($1.identity), $0) },
      uniquingKeysWith: { first, _ in first })
  }

  /// Sets every register to its reset value; calls no hooks.
  public func reset() {
    values.withLock { values in
      for index in registers.indices { store(registers[index].reset, at: index, &values) }
    }
  }

  /// Sets the value of a register, and raises or lowers its interrupt.
  private func store(_ value: UInt64, at index: Int, _ values: inout [UInt64]) {
    let previous = values[index]
    values[index] = value
    guard shapes[index].hasInterrupt, let interrupt = registers[index].interrupt else { return }
    if value & ~previous != 0 { interrupt.raise() }
    if value == 0, previous != 0 { interrupt.lower() }
  }

  /// Reads bytes; bytes outside of the file read as zero.
  public func read(at offset: UInt64, into bytes: inout MutableRawSpan) {
    for place in 0..<bytes.byteCount {
      bytes.storeBytes(of: 0, toByteOffset: place, as: UInt8.self)
    }
    guard let start = Int(exactly: offset), start < size else { return }
    let end = start + min(bytes.byteCount, size - start)
    var index = firstRegister(endingBehind: start)
    while index < shapes.count, shapes[index].offset < end {
      let shape = shapes[index]
      let value = visibleValue(index)
      for lane in 0..<shape.width where start..<end ~= shape.offset + lane {
        bytes.storeBytes(
          of: UInt8(truncatingIfNeeded: value >> UInt64(8 * lane)),
          toByteOffset: shape.offset + lane - start, as: UInt8.self)
      }
      index += 1
    }
  }

  /// Writes bytes; bytes outside of the file are ignored.
  ///
  /// - Throws: the error of a register's hook; registers after that one are not written then.
  public func write(at offset: UInt64, from bytes: Span<UInt8>) throws(Errno) {
    guard let start = Int(exactly: offset), start < size else { return }
    let end = start + min(bytes.count, size - start)
    var index = firstRegister(endingBehind: start)
    while index < shapes.count, shapes[index].offset < end {
      let shape = shapes[index]
      var written: UInt64 = 0
      var covered: UInt64 = 0
      for lane in 0..<shape.width where start..<end ~= shape.offset + lane {
        written |= UInt64(bytes[shape.offset + lane - start]) << UInt64(8 * lane)
        covered |= 0xFF << UInt64(8 * lane)
      }
      try write(written, covering: covered, to: index)
      index += 1
    }
  }

  private func write(_ written: UInt64, covering covered: UInt64, to index: Int) throws(Errno) {
    let shape = shapes[index]
    let write = values.withLock { values in
      let previous = values[index]
      let kept = previous & ~(shape.writable & covered) & ~(written & shape.clearedByOne)
      var write = Register.Write(
        previous: previous, value: kept | (written & shape.writable), written: written,
        covered: covered)
      if let restrict = registers[index].restrict { write.value = restrict(write) }
      store(write.value, at: index, &values)
      return write
    }
    if shape.hasWriteHook { try registers[index].onWrite?(write, self) }
  }

  private func visibleValue(_ index: Int) -> UInt64 {
    let value = values.withLock { $0[index] }
    guard shapes[index].hasReadHook, let hook = registers[index].onRead else { return value }
    return hook(value)
  }

  private func firstRegister(endingBehind start: Int) -> Int {
    var low = 0
    var high = shapes.count
    while low < high {
      let middle = low + (high - low) / 2
      if shapes[middle].offset + shapes[middle].width <= start {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }
}

extension RegisterFile {
  /// The value of the register at `offset`, nil if none begins there.
  ///
  /// For the device; calls no hook.
  public func value(at offset: UInt64) -> UInt64? {
    guard let index = index(at: offset) else { return nil }
    return values.withLock { $0[index] }
  }

  /// Changes the value of the register at `offset`, including read-only bits.
  ///
  /// For the device; calls no hook. Bits beyond the width are dropped.
  ///
  /// - Parameters:
  ///   - offset: where the register begins in the region, in bytes.
  ///   - body: changes the value; runs under the file's lock.
  /// - Returns: the new value, nil if no register begins there.
  @discardableResult
  public func update(at offset: UInt64, _ body: (inout UInt64) -> Void) -> UInt64? {
    guard let index = index(at: offset) else { return nil }
    return values.withLock { values in
      var value = values[index]
      body(&value)
      store(value & registers[index].width.bits, at: index, &values)
      return values[index]
    }
  }

  /// The value of a register of this file, for the device; calls no hook.
  ///
  /// Bits beyond the width are dropped. Reading and writing are two steps; ``update(_:)-swift.method`` does
  /// both in one.
  ///
  /// - Precondition: the register belongs to this file.
  public subscript(_ register: Register) -> UInt64 {
    get { update { $0[register] } }
    set { update { $0[register] = newValue } }
  }

  /// Reads and changes several registers in one step, including read-only bits; calls no hook.
  ///
  /// - Parameter body: runs under the file's lock, and may use its argument only.
  public func update<Result>(_ body: (inout Values) -> Result) -> Result {
    values.withLock { values in
      // The array moves into the view and back, so that it is not copied.
      var view = Values(file: self, values: exchange(&values, with: []))
      defer { values = view.values }
      return body(&view)
    }
  }

  /// The values of the registers of a file, while its lock is held.
  public struct Values {
    fileprivate let file: RegisterFile
    fileprivate var values: [UInt64]

    /// The value of a register.
    ///
    /// - Precondition: the register belongs to this file.
    public subscript(_ register: Register) -> UInt64 {
      get { values[file.place(of: register)] }
      set {
        file.store(newValue & register.width.bits, at: file.place(of: register), &values)
      }
    }
  }

  private func place(of register: Register) -> Int {
    guard let index = places[ObjectIdentifier(register.identity)] else {
      preconditionFailure("the register file has no register \(register.name)")
    }
    return index
  }

  private func index(at offset: UInt64) -> Int? {
    guard let start = Int(exactly: offset) else { return nil }
    let index = firstRegister(endingBehind: start)
    guard index < shapes.count, shapes[index].offset == start else { return nil }
    return index
  }
}
