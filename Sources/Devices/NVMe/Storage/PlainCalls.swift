internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// Storage requests by system calls that wait until they are done.
public enum PlainCalls {
  /// Tries a request on a thread that must not wait.
  ///
  /// - Parameters:
  ///   - request: a read or a write of guest memory.
  /// - Returns: how it went, or nil when it would have to wait, or cannot be done without a buffer.
  static func attempt(_ request: StorageRequest) -> StorageRequest.Outcome? {
    guard request.buffer == nil, request.file.cache == .writeBack else { return nil }
    guard request.isWanted else { return .abandoned }
    switch request.operation {
    case .read: return move(request, nowait: !request.file.isInMemory)
    case .write(durable: false): return move(request, nowait: true)
    default: return nil
    }
  }

  /// Carries a request out, however long it takes; does not hand it back.
  ///
  /// - Parameters:
  ///   - request: what to do.
  ///   - spare: a buffer for requests that need one; made at the first of them.
  public static func perform(
    _ request: StorageRequest, _ spare: inout PageBuffer?
  ) -> StorageRequest.Outcome {
    guard request.isWanted else { return .abandoned }
    switch request.operation {
    case .flush: return flush(request)
    case .zero(let deallocate, let durable):
      return zero(request, deallocate: deallocate, durable: durable, &spare)
    case .deallocate: return punch(request)
    case .read, .write:
      if let buffer = request.buffer { return moveBuffer(request, buffer) }
      return move(request, nowait: false) ?? bounce(request, &spare)
    }
  }

  private static func flush(_ request: StorageRequest) -> StorageRequest.Outcome {
    request.file.synchronize().map { .storage($0) } ?? .success
  }

  // MARK: Straight between file and guest

  /// Nil when this way does not lead there, or not at once.
  private static func move(
    _ request: StorageRequest, nowait: Bool
  ) -> StorageRequest.Outcome? {
    guard request.isAligned else { return nil }
    let number = request.file.descriptor.number
    let (offset, wanted) = (request.offset, Int64(clamping: request.count))
    do throws(MemoryError) {
      let result: Int64
      switch request.operation {
      case .write(let durable):
        // Sound: the slices are handed to one system call, inside of the scope that holds them.
        result = unsafe try request.transfer.withSystemCallSlices(
          of: request.ranges, for: .reading
        ) { slices in
          unsafe clinux_storage_write(
            number, slices.baseAddress, Int32(slices.count), offset, durable ? 1 : 0)
        }
      default:
        // Sound: as above.
        result = unsafe try request.transfer.withSystemCallSlices(
          of: request.ranges, for: .writing
        ) { slices in
          unsafe clinux_storage_read(
            number, slices.baseAddress, Int32(slices.count), offset, nowait ? 1 : 0)
        }
      }
      if result == wanted { return .success }
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
        let isWhole = try buffer.gather(from: request.ranges, by: request.transfer) {
          request.isWanted
        }
        return isWhole ? moveBuffer(request, buffer) : .abandoned
      }
      let outcome = moveBuffer(request, buffer)
      guard outcome == .success else { return outcome }
      let isWhole = try buffer.scatter(to: request.ranges, by: request.transfer) {
        request.isWanted
      }
      return isWhole ? .success : .abandoned
    } catch {
      return .memory(error)
    }
  }

  /// Tells the receiver if the client's thread will be needed to reach its memory.
  private static func noteMessages(_ request: StorageRequest) {
    let direction: Transfer.Direction = request.operation == .read ? .writing : .reading
    do throws(MemoryError) {
      // Sound: the slices are not used.
      unsafe try request.transfer.withSystemCallSlices(of: request.ranges, for: direction) { _ in }
    } catch .needsMapping {
      request.receiver.needsMessages()
      // Either a reset sees what was just noted, or the look at the life that follows sees the reset.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    } catch {
      // The transfer will say what is wrong.
    }
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
          unsafe clinux_storage_write(number, &slice, 1, offset, durable ? 1 : 0)
        default: unsafe clinux_storage_read(number, &slice, 1, offset, 0)
        }
      if let failure = failure(result) { return .storage(failure) }
      // The file has become shorter than the namespace.
      guard result > 0 else { return .storage(.ioError) }
      done += Int(result)
    }
    return .success
  }

  // MARK: Zeros

  private static func punch(_ request: StorageRequest) -> StorageRequest.Outcome {
    let result = clinux_storage_punch(
      request.file.descriptor.number, request.offset, request.count)
    // A hint, which a host may not be able to follow, or not for pieces of this size.
    return result == -EOPNOTSUPP || result == -EINVAL ? .success : outcome(result)
  }

  private static func zero(
    _ request: StorageRequest, deallocate: Bool, durable: Bool, _ spare: inout PageBuffer?
  ) -> StorageRequest.Outcome {
    let number = request.file.descriptor.number
    var result =
      deallocate
      ? clinux_storage_punch(number, request.offset, request.count)
      : clinux_storage_zero(number, request.offset, request.count)
    if result == -EOPNOTSUPP, !deallocate {
      result = clinux_storage_punch(number, request.offset, request.count)
    }
    if result == -EOPNOTSUPP || result == -EINVAL {
      let written = writeZeros(request)
      guard written == .success else { return written }
      result = 0
    }
    return result == 0 && durable ? flush(request) : outcome(result)
  }

  /// For hosts that cannot make holes: writes zeros, a piece at a time.
  private static func writeZeros(_ request: StorageRequest) -> StorageRequest.Outcome {
    do throws(Errno) {
      let zeros = try PageBuffer(size: 256 << 10)
      var done: UInt64 = 0
      while done < request.count {
        let piece = min(request.count - done, UInt64(zeros.size))
        var slice = unsafe iovec(
          iov_base: zeros.bytes(Int(piece)).baseAddress, iov_len: Int(piece))
        // Sound: the slice is the start of the buffer, which outlives the call.
        let result = unsafe clinux_storage_write(
          request.file.descriptor.number, &slice, 1, request.offset + done, 0)
        guard result > 0 else { throw failure(result) ?? .ioError }
        done += UInt64(result)
      }
      return .success
    } catch {
      return .storage(error)
    }
  }

  private static func outcome(_ result: Int32) -> StorageRequest.Outcome {
    result == 0 ? .success : .storage(Errno(rawValue: -result))
  }

  private static func failure(_ result: Int64) -> Errno? {
    result < 0 ? Errno(rawValue: CInt(truncatingIfNeeded: -result)) : nil
  }
}
