public import Glibc

/// A piece of a scatter list.
public struct GuestRange: Equatable, Sendable {
  /// The first guest address.
  public var address: UInt64
  /// Bytes.
  public var count: UInt64

  /// Makes a piece.
  public init(address: UInt64, count: UInt64) {
    self.address = address
    self.count = count
  }
}

extension GuestMemoryAccess {
  /// Maximum number of slices of one scatter list (`IOV_MAX`); a piece that spans two windows has two slices.
  public static let maxSlices = 1024

  /// Lends client memory to a system call such as `preadv` or `pwritev`.
  ///
  /// The DMA windows are pinned until `body` returns: do nothing but the system call in it, and never wait
  /// for the client there. Use the addresses in system calls only. Where the client has truncated its file, a
  /// system call fails with `EFAULT`; an access by this process raises SIGBUS.
  ///
  /// - Parameters:
  ///   - ranges: the guest addresses, in order; each may span several windows.
  ///   - direction: `reading` for a call that takes data out of the client's memory (`pwritev`),
  ///     `writing` for one that puts data there (`preadv`).
  ///   - body: gets the slices, which are valid during the call only.
  /// - Returns: what `body` returns.
  /// - Throws: ``MemoryError``, with ``MemoryError/needsMapping(at:)`` for memory that is accessed by
  ///   messages.
  @unsafe
  public func withSystemCallSlices<Result>(
    of ranges: [GuestRange], for direction: Direction,
    _ body: (UnsafeBufferPointer<iovec>) -> Result
  ) throws(MemoryError) -> Result {
    // Most pieces lie in one window each: room for that many slices is on the stack.
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
        for range in ranges { unsafe try pin(range, direction, slices, pinned, &count) }
        defer {
          if direction == .writing {
            for range in ranges { memory.noteWrite(range.address, range.count) }
          }
        }
        return unsafe body(UnsafeBufferPointer(rebasing: slices[..<count]))
      }
    }
  }

  /// Pins the windows of a range and appends the slices.
  @unsafe
  private func pin(
    _ range: GuestRange, _ direction: Direction, _ slices: UnsafeMutableBufferPointer<iovec>,
    _ pinned: UnsafeMutableBufferPointer<Unmanaged<DMAWindow>>, _ count: inout Int
  ) throws(MemoryError) {
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
  /// - Parameter body: gets each window, the guest address of the piece in it, and its address here. It
  ///   unpins the window later, or returns false if it does not take it.
  @unsafe
  func forEachPiece(
    of range: GuestRange, _ direction: Direction,
    _ body: (DMAWindow, UInt64, iovec) throws(MemoryError) -> Bool
  ) throws(MemoryError) {
    guard range.count > 0 else { return }
    guard !range.address.addingReportingOverflow(range.count - 1).overflow else {
      throw .wraps(at: range.address, count: range.count)
    }
    var done: UInt64 = 0
    while done < range.count {
      let address = range.address + done
      guard
        case .mapped(let window, let mapping) = try memory.route(
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
    }
  }
}
