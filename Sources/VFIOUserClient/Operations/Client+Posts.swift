public import VFIOUserProtocol
internal import VFIOUserTransport

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
    let limit = TimeLimit(timeout)
    try connection(within: limit).post(write, timeout: limit.rest)
  }

  /// Writes bytes and does not wait, in as many messages as it takes.
  public func post(
    _ region: RegionIndex, at offset: UInt64, _ bytes: [UInt8], timeout: Duration? = nil
  ) throws(ClientError) {
    guard options.postsWrites else {
      return try write(region, at: offset, bytes, timeout: timeout)
    }
    let limit = TimeLimit(timeout)
    let connection = try connection(within: limit)
    for piece in pieces(region, offset, bytes.count) {
      try connection.post(piece.access, bytes.span.extracting(piece.range), timeout: limit.rest)
    }
  }

  /// The message for a posted number, nil for one that has to be waited for.
  func posted<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, _ offset: UInt64
  ) -> RegionWrite? {
    let size = MemoryLayout<Number>.size
    guard options.postsWrites, size <= RegionWrite.largestCount else { return nil }
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
    let limit = TimeLimit(timeout)
    let connection = try await connection(within: limit)
    try await connection.makeRoom(limit)
    try connection.post(write, timeout: .zero)
  }

  /// Writes bytes and does not wait for the device, in as many messages as it takes.
  public func post(
    _ region: RegionIndex, at offset: UInt64, _ bytes: [UInt8], timeout: Duration? = nil
  ) async throws(ClientError) {
    guard options.postsWrites else {
      return try await write(region, at: offset, bytes, timeout: timeout)
    }
    let limit = TimeLimit(timeout)
    let connection = try await connection(within: limit)
    for piece in pieces(region, offset, bytes.count) {
      try await connection.makeRoom(limit)
      try connection.post(piece.access, bytes.span.extracting(piece.range), timeout: .zero)
    }
  }
}

extension Connection {
  /// Posts a write of any size.
  func post(
    _ access: RegionAccess, _ bytes: Span<UInt8>, timeout: Duration?
  ) throws(ClientError) {
    trace.record(.region(.regionWrite, access))
    try post(.regionWrite, payload: RegionAccess.wireSize + bytes.count, timeout: timeout) {
      target in
      access.encode(into: &target)
      var data = target._mutatingExtracting(RegionAccess.wireSize...)
      data.copy(bytes)
    }
  }

  /// Suspends the task while too much waits for the socket.
  func makeRoom(_ limit: TimeLimit) async throws(ClientError) {
    let deadline = deadline(limit.rest)
    // Looking now and then is good enough for a server that is a mebibyte behind.
    while !hasRoom {
      guard !deadline.hasPassed else { throw .timedOut(.regionWrite) }
      guard (try? await Task.sleep(for: .milliseconds(1))) != nil else { throw .cancelled }
    }
  }

  private var hasRoom: Bool {
    state.withLock { $0.failure != nil || $0.outbox.count <= Self.backlogLimit }
  }
}

extension MutableRawSpan {
  /// Copies bytes to the start.
  mutating func copy(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { source in
      unsafe withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
    }
  }
}
