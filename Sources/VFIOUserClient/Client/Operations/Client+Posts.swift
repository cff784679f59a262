internal import LinuxPrimitives

/// Posted writes: they have no reply, so an error of the device is not reported.
///
/// Up to 1 MiB of them waits for a full socket; after that, a call blocks until there is room. With a
/// `timeout` it fails with ``ClientError/timedOut(_:)``. Without one, the connection is ended if the server
/// does not read within ``ClientOptions/timeout``.
extension Client {
  /// Posts a number.
  ///
  /// While the socket is full, posted writes are collected into one message, if the server supports
  /// WRITE_MULTI.
  public func post<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    guard let write = posted(number, region, offset) else {
      return try store(number, region, at: offset, timeout: timeout)
    }
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    try connection.post(before: deadline) { () throws(ClientError) in
      try connection.tryPost(write)
    }
  }

  /// Posts bytes, in as many messages as needed.
  public func post(
    _ region: RegionIndex, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) throws(ClientError) {
    guard options.postsWrites else {
      return try write(region, at: offset, from: bytes, timeout: timeout)
    }
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    for piece in pieces(region, offset, bytes.count) {
      trace.record(.region(.regionWrite, piece.access))
      let part = bytes.span.extracting(piece.range)
      try connection.post(before: deadline) { () throws(ClientError) in
        try connection.tryPost(piece.access, part)
      }
    }
  }

  /// The message for a posted number, nil if posted writes are off or the number is too wide.
  func posted<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, _ offset: UInt64
  ) -> RegionWrite? {
    let size = MemoryLayout<Number>.size
    guard options.postsWrites, size <= RegionWrite.maxCount else { return nil }
    let mask = UInt64.max >> UInt64(64 - 8 * size)
    let write = RegionWrite(
      offset: offset, region: region, count: UInt32(size),
      value: UInt64(truncatingIfNeeded: number) & mask)
    trace.record(.region(.regionWrite, write.access))
    return write
  }
}

// MARK: For tasks

extension Client {
  /// Posts a number; suspends the task while too much waits for the socket.
  public func post<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    guard let write = posted(number, region, offset) else {
      return try await store(number, region, at: offset, timeout: timeout)
    }
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    try await connection.post(before: deadline) { () throws(ClientError) in
      try connection.tryPost(write)
    }
  }

  /// Posts bytes, in as many messages as needed; suspends the task while too much waits for the socket.
  public func post(
    _ region: RegionIndex, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) async throws(ClientError) {
    guard options.postsWrites else {
      return try await write(region, at: offset, from: bytes, timeout: timeout)
    }
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    for piece in pieces(region, offset, bytes.count) {
      trace.record(.region(.regionWrite, piece.access))
      try await connection.post(before: deadline) { () throws(ClientError) in
        try connection.tryPost(piece.access, bytes.span.extracting(piece.range))
      }
    }
  }
}

extension Connection {
  /// Posts a write of any size, unless too much waits for the socket.
  ///
  /// - Returns: whether it was posted.
  func tryPost(_ access: RegionAccess, _ bytes: Span<UInt8>) throws(ClientError) -> Bool {
    try tryPost(.regionWrite, payload: RegionAccess.wireSize + bytes.count) { target in
      access.encode(into: &target)
      var data = target._mutatingExtracting(RegionAccess.wireSize...)
      data.copy(bytes)
    }
  }

  /// Sends a message with No_reply; suspends the task while there is no room for it.
  func post(
    before deadline: Deadline?, _ attempt: () throws(ClientError) -> Bool
  ) async throws(ClientError) {
    guard try !attempt() else { return }
    let due = deadline ?? usualDeadline
    // Polling is good enough while 1 MiB waits for the server.
    repeat {
      guard !due.hasPassed else { throw .timedOut(.regionWrite) }
      guard (try? await Task.sleep(for: .milliseconds(1))) != nil else { throw .cancelled }
    } while try !attempt()
  }
}
