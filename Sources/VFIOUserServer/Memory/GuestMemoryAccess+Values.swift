internal import LinuxPrimitives

// Numbers are little endian, like the hosts that run a VMM with vfio-user.

extension GuestMemoryAccess {
  /// Loads a number of up to eight bytes.
  ///
  /// In a mapped window it is one load, so a naturally aligned number is never seen half written; across
  /// windows or by messages it is a copy.
  @inlinable
  public func load<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    at address: UInt64, as type: Number.Type = Number.self
  ) throws(MemoryError) -> Number {
    Number(truncatingIfNeeded: try loadBits(at: address, size: MemoryLayout<Number>.size))
  }

  /// Stores a number of up to eight bytes, with one store under the conditions of ``load(at:as:)``.
  @inlinable
  public func store<Number: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ number: Number, at address: UInt64
  ) throws(MemoryError) {
    try storeBits(
      UInt64(truncatingIfNeeded: number), at: address, size: MemoryLayout<Number>.size)
  }

  @usableFromInline
  func loadBits(at address: UInt64, size: Int) throws(MemoryError) -> UInt64 {
    precondition(size <= 8, "a number of more than eight bytes")
    if case .mapped(let window, let mapping) = try memory.route(
      to: address, .readable, generation)
    {
      defer { memory.unpin(window) }
      if window.rest(from: address) >= UInt64(size) {
        guard let bits = mapping.load(address - window.address, size: size) else {
          throw .truncated(at: address)
        }
        return bits
      }
    }
    var bits: UInt64 = 0
    try unsafe withUnsafeMutableBytes(of: &bits) { (bytes) throws(MemoryError) in
      try unsafe copy(
        at: address, UnsafeMutableRawBufferPointer(rebasing: bytes[..<size]), .reading)
    }
    return UInt64(littleEndian: bits)
  }

  @usableFromInline
  func storeBits(_ bits: UInt64, at address: UInt64, size: Int) throws(MemoryError) {
    precondition(size <= 8, "a number of more than eight bytes")
    if case .mapped(let window, let mapping) = try memory.route(
      to: address, .writable, generation)
    {
      defer { memory.unpin(window) }
      if window.rest(from: address) >= UInt64(size) {
        guard mapping.store(bits, address - window.address, size: size) else {
          throw .truncated(at: address)
        }
        memory.noteWrite(address, UInt64(size))
        return
      }
    }
    var bits = bits.littleEndian
    try unsafe withUnsafeMutableBytes(of: &bits) { (bytes) throws(MemoryError) in
      try unsafe copy(
        at: address, UnsafeMutableRawBufferPointer(rebasing: bytes[..<size]), .writing)
    }
  }
}

extension GuestMemoryAccess {
  /// A number that can be accessed atomically.
  public typealias AtomicNumber = FixedWidthInteger & UnsignedInteger & BitwiseCopyable

  /// Atomically stores a number of one to eight bytes and returns the old one.
  ///
  /// - Returns: the old value.
  @inlinable
  public func exchange<Number: AtomicNumber>(
    _ number: Number, at address: UInt64
  ) throws(MemoryError) -> Number {
    Number(
      truncatingIfNeeded: try exchangeBits(
        UInt64(truncatingIfNeeded: number), at: address, size: MemoryLayout<Number>.size))
  }

  /// Atomically stores `desired` if the memory holds `expected`; one to eight bytes.
  ///
  /// - Returns: the old value; `desired` was stored if it is `expected`.
  @inlinable
  public func compareExchange<Number: AtomicNumber>(
    expected: Number, desired: Number, at address: UInt64
  ) throws(MemoryError) -> Number {
    Number(
      truncatingIfNeeded: try compareExchangeBits(
        UInt64(truncatingIfNeeded: expected), UInt64(truncatingIfNeeded: desired), at: address,
        size: MemoryLayout<Number>.size))
  }

  /// Atomically sets bits of a number of one to eight bytes.
  ///
  /// - Returns: the old value.
  @inlinable
  public func fetchOr<Number: AtomicNumber>(
    _ bits: Number, at address: UInt64
  ) throws(MemoryError) -> Number {
    Number(
      truncatingIfNeeded: try fetchOrBits(
        UInt64(truncatingIfNeeded: bits), at: address, size: MemoryLayout<Number>.size))
  }

  @usableFromInline
  func exchangeBits(_ bits: UInt64, at address: UInt64, size: Int) throws(MemoryError) -> UInt64 {
    try perform(.exchange(bits), at: address, size: size)
  }

  @usableFromInline
  func compareExchangeBits(
    _ expected: UInt64, _ desired: UInt64, at address: UInt64, size: Int
  ) throws(MemoryError) -> UInt64 {
    try perform(.compareExchange(expected: expected, desired: desired), at: address, size: size)
  }

  @usableFromInline
  func fetchOrBits(_ bits: UInt64, at address: UInt64, size: Int) throws(MemoryError) -> UInt64 {
    try perform(.fetchOr(bits), at: address, size: size)
  }

  private func perform(
    _ operation: SharedNumber.Operation, at address: UInt64, size: Int
  ) throws(MemoryError) -> UInt64 {
    precondition(size <= 8, "a number of more than eight bytes")
    // Mapped windows are page-aligned, so what is aligned in the guest is aligned here.
    guard address % UInt64(size) == 0 else { throw .misaligned(at: address) }
    guard
      case .mapped(let window, let mapping) = try memory.route(
        to: address, .writable, generation)
    else { throw .needsMapping(at: address) }
    defer { memory.unpin(window) }
    guard window.flags.contains(.readable) else { throw .notPermitted(at: address) }
    guard let old = mapping.perform(operation, address - window.address, size: size) else {
      throw .truncated(at: address)
    }
    memory.noteWrite(address, UInt64(size))
    return old
  }
}
