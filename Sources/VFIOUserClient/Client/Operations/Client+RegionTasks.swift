internal import LinuxPrimitives

/// Accesses to regions by tasks.
extension Client {
  /// Maximum number of messages of one read in flight.
  static let readsInFlight = 8

  /// Reads from a region, with several messages in flight if several are needed; suspends the task.
  ///
  /// The device may serve the messages of such a read in any order.
  public func read(
    _ region: RegionIndex, at offset: UInt64, count: Int, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await read(region, at: offset, count: count, before: timeout.deadline)
  }

  func read(
    _ region: RegionIndex, at offset: UInt64, count: Int, before deadline: Deadline?
  ) async throws(ClientError) -> [UInt8] {
    guard count > 0 else { return [] }
    let connection = try await connection(before: deadline)
    let pieces = pieces(region, offset, count)
    guard pieces.endIndex > 1 else {
      return try await connection.read(pieces[0].access, deadline)
    }
    return try await connection.read(pieces, deadline, Self.readsInFlight).get()
  }

  /// Writes to a region and waits for the replies, one message after the other; suspends the task.
  public func write(
    _ region: RegionIndex, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) async throws(ClientError) {
    try await write(region, at: offset, from: bytes, before: timeout.deadline)
  }

  func write(
    _ region: RegionIndex, at offset: UInt64, from bytes: [UInt8], before deadline: Deadline?
  ) async throws(ClientError) {
    let connection = try await connection(before: deadline)
    for piece in pieces(region, offset, bytes.count) {
      try await connection.write(piece.access, Array(bytes[piece.range]), deadline)
    }
  }

  /// Reads a number, little endian, in one access of its size.
  public func load<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ region: RegionIndex, at offset: UInt64, as type: Number.Type = Number.self,
    timeout: Duration? = nil
  ) async throws(ClientError) -> Number {
    let access = RegionAccess(
      offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size))
    let deadline = timeout.deadline
    let bytes = try await connection(before: deadline).read(access, deadline)
    return bytes.span.littleEndian(at: 0)
  }

  /// Writes a number, little endian, in one access of its size, and waits for the reply.
  public func store<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    let size = MemoryLayout<Number>.size
    let access = RegionAccess(offset: offset, region: region, count: UInt32(size))
    var rest = number
    let bytes = (0..<size).map { _ in
      defer { rest >>= 8 }
      return UInt8(truncatingIfNeeded: rest)
    }
    let deadline = timeout.deadline
    try await connection(before: deadline).write(access, bytes, deadline)
  }
}

extension Connection {
  private typealias Arrival = (range: Range<Int>, bytes: Result<[UInt8], ClientError>)

  /// Reads pieces, a limited number at a time.
  func read(
    _ pieces: RegionPieces, _ deadline: Deadline?, _ inFlight: Int
  ) async -> Result<[UInt8], ClientError> {
    await withTaskGroup(of: Arrival.self) { group in
      var whole = [UInt8](repeating: 0, count: pieces.total)
      var failure: ClientError?
      var next = 0
      while next < min(inFlight, pieces.endIndex) {
        group.addTask { [next] in await self.read(pieces[next], deadline) }
        next += 1
      }
      while let (range, result) = await group.next() {
        switch result {
        case .success(let bytes): whole.replaceSubrange(range, with: bytes)
        case .failure(let error): failure = failure ?? error
        }
        guard failure == nil, next < pieces.endIndex else { continue }
        group.addTask { [next] in await self.read(pieces[next], deadline) }
        next += 1
      }
      if let failure { return .failure(failure) }
      return .success(whole)
    }
  }

  fileprivate func read(
    _ access: RegionAccess, _ deadline: Deadline?
  ) async throws(ClientError) -> [UInt8] {
    trace.record(.region(.regionRead, access))
    do throws(ClientError) {
      return try await perform(Exchanges.read(access), before: deadline)
    } catch {
      throw error.at(access)
    }
  }

  fileprivate func write(
    _ access: RegionAccess, _ bytes: [UInt8], _ deadline: Deadline?
  ) async throws(ClientError) {
    trace.record(.region(.regionWrite, access))
    do throws(ClientError) {
      _ = try await perform(Exchanges.write(access, bytes), before: deadline)
    } catch {
      throw error.at(access)
    }
  }

  private func read(_ piece: RegionPieces.Piece, _ deadline: Deadline?) async -> Arrival {
    do throws(ClientError) {
      return (piece.range, .success(try await read(piece.access, deadline)))
    } catch {
      return (piece.range, .failure(error))
    }
  }
}
