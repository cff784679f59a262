public import VFIOUserProtocol
internal import VFIOUserTransport

extension Client {
  /// Reads from a region (`VFIO_USER_REGION_READ`), in as many messages as it takes.
  public func read(
    _ region: RegionIndex, at offset: UInt64, count: Int
  ) throws(ClientError) -> [UInt8] {
    var failure: ClientError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      let target = UnsafeMutableRawBufferPointer(buffer)
      do throws(ClientError) {
        unsafe try read(region, at: offset, into: target)
        filled = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Reads from a region into memory of the caller's.
  public func read(
    _ region: RegionIndex, at offset: UInt64, into bytes: inout MutableRawSpan
  ) throws(ClientError) {
    try unsafe bytes.withUnsafeMutableBytes { (target) throws(ClientError) in
      unsafe try read(region, at: offset, into: target)
    }
  }

  private func read(
    _ region: RegionIndex, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
  ) throws(ClientError) {
    let connection = try connection()
    var done = 0
    while done < target.count {
      let count = min(target.count - done, largestAccess)
      let access = RegionAccess(
        offset: offset &+ UInt64(done), region: region, count: UInt32(count))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: target[done..<done + count])
      unsafe try connection.read(access, into: piece)
      done += count
    }
  }

  /// Writes to a region (`VFIO_USER_REGION_WRITE`) and waits for the answer, in as many messages as it
  /// takes.
  public func write(
    _ region: RegionIndex, at offset: UInt64, _ bytes: [UInt8]
  ) throws(ClientError) {
    try write(region, at: offset, bytes.span)
  }

  /// Writes to a region and waits for the answer.
  public func write(
    _ region: RegionIndex, at offset: UInt64, _ bytes: Span<UInt8>
  ) throws(ClientError) {
    let connection = try connection()
    var done = 0
    repeat {
      let count = min(bytes.count - done, largestAccess)
      let access = RegionAccess(
        offset: offset &+ UInt64(done), region: region, count: UInt32(count))
      try connection.write(access, bytes.extracting(done..<done + count))
      done += count
    } while done < bytes.count
  }

  /// Reads a number, little endian, in one access of its size.
  public func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ region: RegionIndex, at offset: UInt64, as type: Number.Type = Number.self
  ) throws(ClientError) -> Number {
    let access = RegionAccess(
      offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size))
    var number = Number.zero
    let connection = try connection()
    // Sound: the number lives until the call has returned.
    try unsafe withUnsafeMutableBytes(of: &number) { (bytes) throws(ClientError) in
      unsafe try connection.read(access, into: bytes)
    }
    return Number(littleEndian: number)
  }

  /// Writes a number, little endian, in one access of its size, and waits for the answer.
  public func store<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64
  ) throws(ClientError) {
    let access = RegionAccess(
      offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size))
    try connection().write(access, number)
  }

  /// Writes a number and does not wait: the device's refusal, if there is one, is not heard of.
  ///
  /// While the socket is full, posted writes are collected into one message, if the server takes
  /// those.
  public func post<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64
  ) throws(ClientError) {
    guard options.postsWrites, MemoryLayout<Number>.size <= RegionWrite.largestCount else {
      return try store(number, region, at: offset)
    }
    let value = UInt64(truncatingIfNeeded: number)
    let mask = UInt64.max >> UInt64(64 - 8 * MemoryLayout<Number>.size)
    try connection().post(
      RegionWrite(
        offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size),
        value: value & mask))
  }

  /// What the server takes in one access, and what we want to ask for.
  private var largestAccess: Int {
    Int(min(server.capabilities.effectiveMaxDataTransfer, options.largestAccess))
  }
}

extension Client {
  /// Reads from a region without holding a thread.
  public func read(
    _ region: RegionIndex, at offset: UInt64, count: Int
  ) async throws(ClientError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let piece = min(count - bytes.count, largestAccess)
      let access = RegionAccess(
        offset: offset &+ UInt64(bytes.count), region: region, count: UInt32(piece))
      bytes += try await perform(Exchanges.read(access))
    }
    return bytes
  }

  /// Writes to a region without holding a thread.
  public func write(
    _ region: RegionIndex, at offset: UInt64, _ bytes: [UInt8]
  ) async throws(ClientError) {
    var done = 0
    repeat {
      let count = min(bytes.count - done, largestAccess)
      let access = RegionAccess(
        offset: offset &+ UInt64(done), region: region, count: UInt32(count))
      _ = try await perform(Exchanges.write(access, Array(bytes[done..<done + count])))
      done += count
    } while done < bytes.count
  }
}
