internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Storage requests by system calls that wait until they are done.
///
/// Data that is at hand, in memory or in the page cache, goes straight into the client's memory. What has to be waited
/// for is read into memory of ours and copied when it is there, if it is still wanted then: a disk may answer long
/// after the controller was reset, and a system call cannot be redirected once it has begun. The copy
/// costs little beside the wait.
enum BlockingIO {
  /// Tries a request on a thread that must not wait; see ``Namespace/inlineBudget(of:on:at:)``.
  ///
  /// - Parameter request: a read, or a write that is not durable, of guest memory.
  /// - Returns: how it went, or nil when it would have to wait, or cannot be done without a buffer.
  static func attempt(_ request: StorageRequest) -> StorageRequest.Outcome? {
    switch request.operation {
    case .read: return readAtOnce(request)
    case .write(durable: false):
      return request.isWanted ? write(request, nowait: true) : .abandoned
    default: return nil
    }
  }

  /// Carries a request out, however long it takes; does not hand it back.
  ///
  /// - Parameters:
  ///   - request: what to do.
  ///   - spare: a buffer for requests that need one; made at the first of them.
  static func perform(
    _ request: StorageRequest, _ spare: inout PageBuffer?
  ) -> StorageRequest.Outcome {
    guard request.isWanted else { return .abandoned }
    switch request.operation {
    case .flush: return Zeros.flush(request)
    case .zero(let deallocate, let durable):
      return Zeros.zero(request, deallocate: deallocate, durable: durable)
    case .deallocate(let durable): return Zeros.deallocate(request, durable: durable)
    case .read:
      if let buffer = request.buffer { return moveBuffer(request, buffer) }
      return readAtOnce(request) ?? bounce(request, &spare)
    case .write:
      if let buffer = request.buffer { return moveBuffer(request, buffer) }
      return write(request, nowait: false) ?? bounce(request, &spare)
    }
  }

  // MARK: Straight between file and guest

  /// Nil when the data is not at hand, or this way does not lead there.
  private static func readAtOnce(_ request: StorageRequest) -> StorageRequest.Outcome? {
    let file = request.file
    guard file.cache != .direct else { return nil }
    guard request.beginWriting() else { return .abandoned }
    defer { request.endWriting() }
    let number = file.descriptor.number
    // Memory cannot be asked not to wait, but does not.
    let nowait: Int32 = file.isInMemory ? 0 : 1
    return unsafe move(request, .writing) { slices in
      // Sound: the slices are handed to one system call, inside of the scope that holds them.
      unsafe clinux_storage_read(
        number, slices.baseAddress, Int32(slices.count), request.offset, nowait)
    }
  }

  /// Nil when this way does not lead there, or not at once.
  private static func write(
    _ request: StorageRequest, nowait: Bool
  ) -> StorageRequest.Outcome? {
    guard request.isAligned else { return nil }
    let isDurable = request.operation == .write(durable: true)
    return unsafe move(request, .reading) { slices in
      // Sound: as above.
      unsafe write(
        slices, to: request.file, at: request.offset, isDurable: isDurable, nowait: nowait)
    }
  }

  /// Writes slices with one system call.
  ///
  /// - Parameter nowait: whether it must not wait, as far as the file system can be asked for that.
  /// - Returns: bytes, or `-errno`.
  @unsafe
  static func write(
    _ slices: UnsafeBufferPointer<iovec>, to file: StorageFile, at offset: UInt64,
    isDurable: Bool = false, nowait: Bool
  ) -> Int64 {
    let (number, count) = (file.descriptor.number, Int32(slices.count))
    let durable: Int32 = isDurable ? 1 : 0
    let canAsk = nowait && file.takesNowaitWrites
    let result = unsafe clinux_storage_write(
      number, slices.baseAddress, count, offset, durable, canAsk ? 1 : 0)
    guard canAsk, result == -Int64(EOPNOTSUPP) else { return result }
    file.refuseNowaitWrites()
    return unsafe clinux_storage_write(number, slices.baseAddress, count, offset, durable, 0)
  }

  @unsafe
  private static func move(
    _ request: StorageRequest, _ direction: GuestMemoryAccess.Direction,
    _ call: (UnsafeBufferPointer<iovec>) -> Int64
  ) -> StorageRequest.Outcome? {
    do throws(MemoryError) {
      // Sound: the slices go no further than to `call`.
      let result = unsafe try request.access.withSystemCallSlices(
        of: request.ranges, for: direction, call)
      if result == Int64(clamping: request.count) { return .success }
      if let failure = failure(result), request.isFinal(failure) { return .storage(failure) }
      // A part of it, or none of it yet: the slow way does all of it again, and says what is wrong.
      return nil
    } catch .needsMapping, .tooManyPieces {
      return nil
    } catch {
      return .memory(error)
    }
  }

  // MARK: Through a buffer

  private static func bounce(
    _ request: StorageRequest, _ spare: inout PageBuffer?
  ) -> StorageRequest.Outcome {
    let count = Int(clamping: request.count)
    do throws(Errno) {
      if spare.map({ $0.size < count }) ?? true { spare = try PageBuffer(size: count) }
    } catch {
      return .storage(error)
    }
    guard let buffer = spare else { return .storage(.noMemory) }
    noteMessages(request)
    do throws(MemoryError) {
      if request.operation != .read {
        let isWhole = try buffer.gather(from: request.ranges, by: request.access) {
          request.isWanted
        }
        return isWhole ? moveBuffer(request, buffer) : .abandoned
      }
      let outcome = moveBuffer(request, buffer)
      guard outcome == .success else { return outcome }
      return try scatter(buffer, request) ? .success : .abandoned
    } catch {
      return .memory(error)
    }
  }

  static func scatter(
    _ buffer: PageBuffer, _ request: StorageRequest
  ) throws(MemoryError) -> Bool {
    // What goes by message needs the client's thread, so a reset on that must not wait for it.
    var isMessage = false
    return try buffer.scatter(to: request.ranges, by: request.access) { piece in
      isMessage = request.needsMessages(for: piece, .writing)
      return isMessage ? request.isWanted : request.beginWriting()
    } end: { _ in
      if !isMessage { request.endWriting() }
    }
  }

  /// Tells the receiver if the client's thread will be needed to reach its memory.
  static func noteMessages(_ request: StorageRequest) {
    let direction: GuestMemoryAccess.Direction = request.operation == .read ? .writing : .reading
    guard request.ranges.contains(where: { request.needsMessages(for: $0, direction) }) else {
      return
    }
    request.receiver.needsMessages()
    // Either a reset sees what was just noted, or the look at the generation that follows sees the reset.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// Moves bytes between the file and a buffer, until all are through.
  private static func moveBuffer(
    _ request: StorageRequest, _ buffer: PageBuffer
  ) -> StorageRequest.Outcome {
    let total = Int(clamping: request.count)
    guard total <= buffer.size else { return .storage(.messageTooLong) }
    let number = request.file.descriptor.number
    let bytes = unsafe buffer.bytes(total)
    var done = 0
    while done < total {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      var slice = unsafe iovec(iov_base: rest.baseAddress, iov_len: rest.count)
      let offset = request.offset + UInt64(done)
      // Sound: the slice is the rest of the buffer, which outlives the call.
      let result =
        switch request.operation {
        case .write(let durable):
          unsafe clinux_storage_write(number, &slice, 1, offset, durable ? 1 : 0, 0)
        default: unsafe clinux_storage_read(number, &slice, 1, offset, 0)
        }
      if let failure = failure(result) { return .storage(failure) }
      // The file has become shorter than the namespace.
      guard result > 0 else { return .storage(.ioError) }
      done += Int(result)
    }
    return .success
  }

  static func failure(_ result: Int64) -> Errno? {
    result < 0 ? Errno(rawValue: CInt(truncatingIfNeeded: -result)) : nil
  }
}

extension StorageRequest {
  /// Whether a piece of the client's memory can only be reached by messages.
  func needsMessages(for range: GuestRange, _ direction: GuestMemoryAccess.Direction) -> Bool {
    do throws(MemoryError) {
      // Sound: the slices are not used.
      unsafe try access.withSystemCallSlices(of: [range], for: direction) { _ in }
    } catch .needsMapping {
      return true
    } catch {
      // The transfer will say what is wrong.
    }
    return false
  }
}
