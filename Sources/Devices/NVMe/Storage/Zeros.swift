internal import CLinux
internal import Glibc
internal import SystemPackage

/// Flushes, zeros and holes by system calls that wait.
///
/// Those that may take long are done a piece at a time, and given up between two pieces when nobody waits for them any
/// more: a controller is ready for the next host only when they have ended (CAP.TO).
enum Zeros {
  /// Most bytes of a hole at once; each extent in it takes the file system a moment.
  private static let maxPunched: UInt64 = 256 << 20
  /// Most bytes that are written at once.
  private static let maxWritten = 256 << 10

  static func flush(_ request: StorageRequest) -> StorageRequest.Outcome {
    request.file.synchronize().map { .storage($0) } ?? .success
  }

  static func deallocate(_ request: StorageRequest, durable: Bool) -> StorageRequest.Outcome {
    let outcome = forEachPiece(of: request) { offset, count in
      punch(request.file, offset, count)
    }
    switch outcome {
    // A hint, which a host may not be able to follow, or not for pieces of this size.
    case .storage(.notSupported), .storage(.invalidArgument), .success:
      return durable ? flush(request) : .success
    default: return outcome
    }
  }

  static func zero(
    _ request: StorageRequest, deallocate: Bool, durable: Bool
  ) -> StorageRequest.Outcome {
    let number = request.file.descriptor.number
    var outcome = forEachPiece(of: request) { offset, count in
      if !deallocate {
        let result = clinux_storage_zero(number, offset, count)
        if result != -EOPNOTSUPP { return result }
      }
      return punch(request.file, offset, count)
    }
    if outcome == .storage(.notSupported) || outcome == .storage(.invalidArgument) {
      outcome = writeZeros(request)
    }
    return outcome == .success && durable ? flush(request) : outcome
  }

  private static func punch(_ file: StorageFile, _ offset: UInt64, _ count: UInt64) -> Int32 {
    let result = clinux_storage_punch(file.descriptor.number, offset, count)
    if result == 0 { file.memory?.noteHole(offset, count) }
    return result
  }

  /// For hosts that cannot make holes: writes zeros.
  private static func writeZeros(_ request: StorageRequest) -> StorageRequest.Outcome {
    let zeros: PageBuffer
    do throws(Errno) { zeros = try PageBuffer(size: maxWritten) } catch { return .storage(error) }
    var done: UInt64 = 0
    while done < request.count {
      guard request.isWanted else { return .abandoned }
      let piece = min(request.count - done, UInt64(zeros.size))
      var slice = unsafe iovec(
        iov_base: zeros.bytes(Int(piece)).baseAddress, iov_len: Int(piece))
      // Sound: the slice is the start of the buffer, which outlives the call.
      let result = unsafe clinux_storage_write(
        request.file.descriptor.number, &slice, 1, request.offset + done, 0, 0)
      if let failure = BlockingIO.failure(result) { return .storage(failure) }
      guard result > 0 else { return .storage(.ioError) }
      done += UInt64(result)
    }
    return .success
  }

  private static func forEachPiece(
    of request: StorageRequest, _ body: (_ offset: UInt64, _ count: UInt64) -> Int32
  ) -> StorageRequest.Outcome {
    var done: UInt64 = 0
    while done < request.count {
      guard request.isWanted else { return .abandoned }
      let piece = min(request.count - done, maxPunched)
      let result = body(request.offset + done, piece)
      guard result == 0 else { return .storage(Errno(rawValue: -result)) }
      done += piece
    }
    return .success
  }
}
