public import Glibc
internal import VFIOUserTransport

/// Client memory that is lent to system calls which go on after the function that began them has
/// returned, as those of an io_uring do.
///
/// The client gets its windows back when the last of these is released, by ``release()`` or with the
/// last reference; after its departure the memory stays mapped until then. A client that asks for a
/// window meanwhile waits, see ``Device/quiesce(_:)``.
@safe
public final class HeldMemory: Sendable {
  @safe
  private struct State: @unchecked Sendable {
    // Sound: addresses in the mappings of `windows`, which are pinned as long as there are slices; they
    // are lent inside of `withSlices` only.
    var slices: [iovec]
    var windows: [Window]
    var observer: GuestMemory.WriteObserver?
  }

  private let state: Monitor<State>
  private let ranges: [GuestRange]
  private let memory: GuestMemory

  fileprivate init(
    _ ranges: [GuestRange], _ slices: [iovec], _ windows: [Window],
    _ observer: GuestMemory.WriteObserver?, _ memory: GuestMemory
  ) {
    self.ranges = ranges
    self.memory = memory
    state = unsafe Monitor(
      State(slices: slices, windows: windows, observer: observer))
  }

  deinit { release() }

  /// Lends the addresses for the length of `body`, none when they were released.
  ///
  /// They are for the kernel, which answers `EFAULT` where the client has truncated its file, and it
  /// may use them for as long as this is not released.
  @unsafe
  public func withSlices<Result>(_ body: (UnsafeBufferPointer<iovec>) -> Result) -> Result {
    unsafe state.withLock { unsafe $0.slices }.withUnsafeBufferPointer { unsafe body($0) }
  }

  /// Gives the memory back; the kernel has to be done with it.
  public func release() {
    let (windows, observer) = state.withLock { state in
      unsafe state.slices = []
      return (state.windows.takeAll(), state.observer.take())
    }
    guard !windows.isEmpty else { return }
    if let observer { for range in ranges { observer(range.address, range.count) } }
    for window in windows { memory.unpin(window) }
  }
}

extension Transfer {
  /// Holds client memory until it is released.
  ///
  /// - Parameters:
  ///   - ranges: what is wanted, in order; windows may be crossed.
  ///   - direction: as in ``withSystemCallSlices(of:for:_:)``.
  /// - Throws: ``MemoryError``, and then nothing is held.
  public func hold(
    _ ranges: [GuestRange], for direction: Direction
  ) throws(MemoryError) -> HeldMemory {
    var windows: [Window] = []
    var slices: [iovec] = unsafe []
    var observer: GuestMemory.WriteObserver?
    do throws(MemoryError) {
      for range in ranges {
        try unsafe hold(range, direction, &slices, &windows, &observer)
      }
    } catch {
      for window in windows { memory.unpin(window) }
      throw error
    }
    return unsafe HeldMemory(
      ranges, slices, windows, direction == .writing ? observer : nil, memory)
  }

  @unsafe
  private func hold(
    _ range: GuestRange, _ direction: Direction, _ slices: inout [iovec],
    _ windows: inout [Window], _ observer: inout GuestMemory.WriteObserver?
  ) throws(MemoryError) {
    guard range.count > 0 else { return }
    guard !range.address.addingReportingOverflow(range.count - 1).overflow else {
      throw .wraps(at: range.address, count: range.count)
    }
    var done: UInt64 = 0
    while done < range.count {
      let address = range.address + done
      guard windows.count < Self.mostSlices else { throw .tooManyPieces(limit: Self.mostSlices) }
      guard
        case .mapped(let window, let mapping, let writes) = try memory.route(
          to: address, direction.flag, generation)
      else { throw .needsMapping(at: address) }
      windows.append(window)
      let piece = min(range.count - done, window.rest(from: address))
      let start = unsafe mapping.pointer(address - window.address, piece)
      unsafe slices.append(iovec(iov_base: start, iov_len: Int(piece)))
      done += piece
      observer = writes
    }
  }
}

extension Array {
  fileprivate mutating func takeAll() -> [Element] {
    defer { self = [] }
    return self
  }
}
