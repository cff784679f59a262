internal import LinuxPrimitives

/// Writes that nobody waits for: the device's refusal, if there is one, is not heard of.
///
/// A mebibyte of them waits for a socket that is full; one more waits for room. A `timeout` bounds that
/// wait with ``ClientError/timedOut(_:)``; without it, a server that makes no room within the
/// connection's time loses the connection.
extension Client {
  /// Writes a number and does not wait.
  ///
  /// While the socket is full, posted writes are collected into one message, if the server takes
  /// those.
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

  /// Writes bytes and does not wait, in as many messages as it takes.
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

  /// The message for a posted number, nil for one that has to be waited for.
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
  /// Writes a number and does not wait for the device; suspends while too much waits for the socket.
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

  /// Writes bytes and does not wait for the device, in as many messages as it takes.
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

  /// Sends something with No_reply, and suspends the task while there is no room for it.
  func post(
    before deadline: Deadline?, _ attempt: () throws(ClientError) -> Bool
  ) async throws(ClientError) {
    guard try !attempt() else { return }
    let due = deadline ?? usualDeadline
    // Looking now and then is good enough for a server that is a mebibyte behind.
    repeat {
      guard !due.hasPassed else { throw .timedOut(.regionWrite) }
      guard (try? await Task.sleep(for: .milliseconds(1))) != nil else { throw .cancelled }
    } while try !attempt()
  }
}
