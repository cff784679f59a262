public import Glibc

/// A piece of a scatter list.
public struct GuestRange: Equatable, Sendable {
  /// Where it starts, in the guest's address space.
  public var address: UInt64
  /// Bytes.
  public var count: UInt64

  /// Names a piece.
  public init(address: UInt64, count: UInt64) {
    self.address = address
    self.count = count
  }
}

extension GuestMemoryAccess {
  /// Most pieces of one scatter list, windows' ends included (`IOV_MAX`).
  public static let maxSlices = 1024

  /// Lends the addresses of client memory for system calls such as `preadv` and `pwritev`.
  ///
  /// The windows are held until `body` returns: keep it to the system call, and never wait in it for
  /// anything that the client has to do. The addresses are for the kernel, which answers `EFAULT`
  /// where the client has truncated its file; the processor would get a SIGBUS.
  ///
  /// - Parameters:
  ///   - ranges: what is wanted, in order; windows may be crossed.
  ///   - direction: `reading` for a call that takes data out of the client's memory (`pwritev`),
  ///     `writing` for one that puts data there (`preadv`).
  ///   - body: gets the slices; they and the buffer are valid inside only.
  /// - Returns: what `body` returns.
  /// - Throws: ``MemoryError``; ``MemoryError/needsMapping(at:)`` where there are only messages.
  @unsafe
  public func withSystemCallSlices<Result>(
    of ranges: [GuestRange], for direction: Direction,
    _ body: (UnsafeBufferPointer<iovec>) -> Result
  ) throws(MemoryError) -> Result {
    // Most lists stay within a window each: room for those is on the stack.
    let likely = min(ranges.count + 4, Self.maxSlices)
    do throws(MemoryError) {
      return try unsafe withSlices(of: ranges, direction, capacity: likely, body)
    } catch .tooManyPieces where likely < Self.maxSlices {
      return try unsafe withSlices(of: ranges, direction, capacity: Self.maxSlices, body)
    }
  }

  @unsafe
  private func withSlices<Result>(
    of ranges: [GuestRange], _ direction: Direction, capacity: Int,
    _ body: (UnsafeBufferPointer<iovec>) -> Result
  ) throws(MemoryError) -> Result {
    try unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: capacity) {
      (slices) throws(MemoryError) -> Result in
      try unsafe withUnsafeTemporaryAllocation(of: Unmanaged<DMAWindow>.self, capacity: capacity) {
        (pinned) throws(MemoryError) -> Result in
        var count = 0
        // Sound: `pin` retained each window that it put into the first `count` places.
        defer {
          for index in 0..<count { memory.unpin(unsafe pinned[index].takeRetainedValue()) }
        }
        var observer: GuestMemory.WriteObserver?
        for range in ranges {
          observer = unsafe try pin(range, direction, slices, pinned, &count) ?? observer
        }
        defer {
          if direction == .writing, let observer {
            for range in ranges { observer(range.address, range.count) }
          }
        }
        return unsafe body(UnsafeBufferPointer(rebasing: slices[..<count]))
      }
    }
  }

  /// Pins the windows of a range and notes the slices.
  @unsafe
  private func pin(
    _ range: GuestRange, _ direction: Direction, _ slices: UnsafeMutableBufferPointer<iovec>,
    _ pinned: UnsafeMutableBufferPointer<Unmanaged<DMAWindow>>, _ count: inout Int
  ) throws(MemoryError) -> GuestMemory.WriteObserver? {
    try unsafe forEachPiece(of: range, direction) {
      (window, _, slice) throws(MemoryError) in
      guard count < slices.count else { return false }
      unsafe pinned.initializeElement(at: count, to: .passRetained(window))
      unsafe slices.initializeElement(at: count, to: slice)
      count += 1
      return true
    }
  }

  /// Pins the windows of a range, one after the other.
  ///
  /// - Parameter body: gets each window, the address of the piece in it, and where that is. It lets go of
  ///   the window some day, or returns false when it does not take it.
  /// - Returns: who hears of writes.
  @unsafe
  func forEachPiece(
    of range: GuestRange, _ direction: Direction,
    _ body: (DMAWindow, UInt64, iovec) throws(MemoryError) -> Bool
  ) throws(MemoryError) -> GuestMemory.WriteObserver? {
    guard range.count > 0 else { return nil }
    guard !range.address.addingReportingOverflow(range.count - 1).overflow else {
      throw .wraps(at: range.address, count: range.count)
    }
    var done: UInt64 = 0
    var observer: GuestMemory.WriteObserver?
    while done < range.count {
      let address = range.address + done
      guard
        case .mapped(let window, let mapping, let writes) = try memory.route(
          to: address, direction.flag, generation)
      else { throw .needsMapping(at: address) }
      let piece = min(range.count - done, window.rest(from: address))
      let slice = unsafe iovec(
        iov_base: mapping.pointer(address - window.address, piece), iov_len: Int(piece))
      guard try unsafe body(window, address, slice) else {
        memory.unpin(window)
        throw .tooManyPieces(limit: Self.maxSlices)
      }
      done += piece
      observer = writes
    }
    return observer
  }
}
