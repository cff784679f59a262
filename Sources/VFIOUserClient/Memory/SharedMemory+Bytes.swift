internal import CLinux
internal import SystemPackage

/// Access to the bytes, for the owner of the memory.
extension SharedMemory {
  /// A copy of `count` bytes.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  public func read(at offset: UInt64, count: Int) -> [UInt8] {
    let source = unsafe pointer(offset, count)
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      unsafe copyOrOnes(UnsafeMutableRawBufferPointer(buffer), source)
      filled = count
    }
  }

  /// Copies bytes to a span.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  public func read(at offset: UInt64, into bytes: inout MutableRawSpan) {
    let source = unsafe pointer(offset, bytes.byteCount)
    unsafe bytes.withUnsafeMutableBytes { unsafe copyOrOnes($0, source) }
  }

  /// Copies bytes in.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  public func write(at offset: UInt64, from bytes: [UInt8]) { write(at: offset, from: bytes.span) }

  /// Copies the bytes of a span in.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  public func write(at offset: UInt64, from bytes: Span<UInt8>) {
    let target = unsafe pointer(offset, bytes.count)
    let isDone = unsafe bytes.withUnsafeBytes { unsafe copy($0, to: target) }
    if !isDone { noteTruncation() }
  }

  /// Sets a range to one byte.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  public func fill(at offset: UInt64, count: Int, with byte: UInt8 = 0) {
    let target = unsafe pointer(offset, count)
    guard isGuarded else {
      return unsafe UnsafeMutableRawBufferPointer(start: target, count: count)
        .initializeMemory(as: UInt8.self, repeating: byte).update(repeating: byte)
    }
    write(at: offset, from: [UInt8](repeating: byte, count: count))
  }

  private func copyOrOnes(
    _ target: UnsafeMutableRawBufferPointer, _ source: UnsafeMutableRawPointer
  ) {
    guard unsafe !copy(source, to: target) else { return }
    noteTruncation()
    unsafe target.initializeMemory(as: UInt8.self, repeating: .max)
  }

  /// - Returns: false if the file was truncated.
  private func copy(
    _ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard let start = target.baseAddress else { return true }
    guard isGuarded else {
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: source, count: target.count))
      return true
    }
    clinux_guard_enter_thread()
    return unsafe clinux_guarded_copy(start, source, target.count) == 0
  }

  /// - Returns: false if the file was truncated.
  private func copy(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Bool {
    guard let start = source.baseAddress else { return true }
    guard isGuarded else {
      unsafe target.copyMemory(from: start, byteCount: source.count)
      return true
    }
    clinux_guard_enter_thread()
    return unsafe clinux_guarded_copy(target, start, source.count) == 0
  }
}

/// Access to the bytes, for DMA messages of a device.
extension SharedMemory {
  /// Whether bytes can be accessed without a system call, which may block on a disk.
  var isMapped: Bool { unsafe address != nil }

  /// Copies the bytes of a DMA_READ out.
  ///
  /// - Throws: `EFAULT` if the file was truncated; the error of `pread`.
  func answerRead(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
    try unsafe bytes.withUnsafeMutableBytes { (target) throws(Errno) in
      guard isMapped else { return unsafe try readByDescriptor(at: offset, into: target) }
      let source = unsafe pointer(offset, target.count)
      guard unsafe copy(source, to: target) else { throw truncated() }
    }
  }

  /// Copies the bytes of a DMA_WRITE in.
  ///
  /// - Throws: `EFAULT` if the file was truncated; the error of `pwrite`.
  func answerWrite(at offset: UInt64, from bytes: Span<UInt8>) throws(Errno) {
    try unsafe bytes.withUnsafeBytes { (source) throws(Errno) in
      guard isMapped else { return unsafe try writeByDescriptor(at: offset, from: source) }
      let target = unsafe pointer(offset, source.count)
      guard unsafe copy(source, to: target) else { throw truncated() }
    }
  }

  private func truncated() -> Errno {
    noteTruncation()
    return .badAddress
  }

  private func readByDescriptor(
    at offset: UInt64, into target: UnsafeMutableRawBufferPointer
  ) throws(Errno) {
    var done = 0
    while done < target.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[done...])
      let place = fileOffset + offset + UInt64(done)
      done += try transferred(
        unsafe clinux_read_at(descriptor.number, rest.baseAddress, rest.count, place))
    }
  }

  private func writeByDescriptor(
    at offset: UInt64, from source: UnsafeRawBufferPointer
  ) throws(Errno) {
    var done = 0
    while done < source.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: source[done...])
      let place = fileOffset + offset + UInt64(done)
      done += try transferred(
        unsafe clinux_write_at(descriptor.number, rest.baseAddress, rest.count, place))
    }
  }

  /// The count of a transfer; 0 means that the file ends there.
  private func transferred(_ result: Int64) throws(Errno) -> Int {
    guard result >= 0 else { throw Errno(rawValue: CInt(truncatingIfNeeded: -result)) }
    guard result > 0 else { throw truncated() }
    return Int(result)
  }
}
