public import KernelRing
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// The engine that leaves the waiting to the kernel: io_uring, straight between file and client memory.
///
/// With direct I/O it keeps as many requests under way as the guest has given, from one thread, where a pool
/// has one for each of its threads. What a ring cannot do (windows without a descriptor, buffers that are not
/// aligned, holes) and everything that it did not do completely goes to a ``ThreadPool``.
///
/// The controller's thread fills the ring and submits once per batch; a thread of the engine takes what is done
/// and hands it back, several at a time.
public final class RingEngine: StorageEngine {
  private let core: Core
  private let pool: ThreadPool

  /// Makes a ring, and a pool for what it cannot do.
  ///
  /// - Parameters:
  ///   - entries: requests under way in the ring; more than those go to the pool.
  ///   - threads: threads of the pool.
  /// - Throws: ``RingError/unavailable(_:)`` where this process may not have a ring.
  public init(entries: Int = 256, threads: Int = 2) throws(RingError) {
    let ring = try Ring(entries: entries)
    do throws(SystemFailure) {
      pool = try ThreadPool(threads: threads)
      let core = Core(ring, pool)
      self.core = core
      try DetachedThread.start("nvme-ring") { core.reap() }
    } catch {
      throw .system(error)
    }
  }

  deinit { close() }

  /// Queues a request; the kernel sees it with the next ``flush()``.
  public func submit(_ request: StorageRequest) {
    guard core.queue(request) else { return pool.submit(request) }
  }

  /// Hands what was queued to the kernel.
  public func flush() { core.submit() }

  /// Takes a request back that has not begun; what the ring has cannot be taken back.
  public func cancel(_ request: StorageRequest) -> Bool { pool.cancel(request) }

  /// Ends the threads when everything has come back.
  public func close() {
    core.close()
    pool.close()
  }
}

/// What the controller's thread and the engine's share.
private final class Core: Sendable {
  /// A request that the ring has, and the client memory that it holds for it.
  ///
  /// The controller's thread has it from the free list until it was submitted, the engine's thread from its
  /// completion until it is in the free list again.
  final class Slot: @unchecked Sendable {
    var request: StorageRequest?
    var slices = PinnedSlices(capacity: 8)
  }

  private struct State {
    var free: [Int]
    var isClosing = false
  }

  /// The number of the operation that only wakes.
  private static let wakeUp = UInt64.max

  private let ring: Ring
  private let slots: [Slot]
  private let state: Monitor<State>
  private let pool: ThreadPool

  init(_ ring: consuming Ring, _ pool: ThreadPool) {
    // One entry is kept for the operation that wakes.
    let count = ring.capacity - 1
    self.ring = ring
    self.pool = pool
    slots = (0..<count).map { _ in Slot() }
    state = Monitor(State(free: Array((0..<count).reversed())))
  }

  /// Queues a request.
  ///
  /// - Returns: false when the ring cannot do it.
  func queue(_ request: StorageRequest) -> Bool {
    guard request.buffer == nil, request.isWanted, let index = takeSlot() else { return false }
    let slot = slots[index]
    guard prepare(request, slot) else {
      giveBack(index)
      return false
    }
    slot.request = request
    guard start(request, slot, UInt64(index)) else {
      slot.request = nil
      slot.slices.release()
      giveBack(index)
      return false
    }
    return true
  }

  /// Hands what was queued to the kernel.
  func submit() {
    // The kernel has no memory for a moment (EAGAIN): the next completion, or the next turn, tries again.
    _ = try? ring.submit()
  }

  /// Has the thread end when nothing is under way any more.
  func close() {
    let isFirst = state.withLock { state in
      defer { state.isClosing = true }
      return !state.isClosing
    }
    guard isFirst else { return }
    _ = try? ring.nothing(id: Self.wakeUp)
    submit()
  }

  /// Pins the memory of a request.
  ///
  /// - Returns: false when that does not go straight between file and memory.
  private func prepare(_ request: StorageRequest, _ slot: Slot) -> Bool {
    let direction: Transfer.Direction
    switch request.operation {
    case .flush: return true
    case .zero, .deallocate: return false
    case .read: direction = .writing
    case .write: direction = .reading
    }
    guard isAligned(request) else { return false }
    do throws(MemoryError) {
      for range in request.ranges {
        try slot.slices.pin(range, for: direction, of: request.transfer)
      }
      return slot.slices.byteCount == request.count
    } catch {
      // The pool finds out the same, and says so.
      return false
    }
  }

  private func isAligned(_ request: StorageRequest) -> Bool {
    let alignment = UInt64(request.file.alignment)
    guard alignment > 1 else { return true }
    var bits = request.offset | request.count
    for range in request.ranges { bits |= range.address | range.count }
    return bits % alignment == 0
  }

  private func start(_ request: StorageRequest, _ slot: Slot, _ id: UInt64) -> Bool {
    let file = FileDescriptor(rawValue: request.file.descriptor.number)
    do throws(RingError) {
      // Sound: the slot keeps the slices, and with them the memory, until the completion was taken.
      switch request.operation {
      case .read:
        try unsafe ring.read(file, into: slot.slices.slices, at: request.offset, id: id)
      case .write(let durable):
        try unsafe ring.write(
          file, from: slot.slices.slices, at: request.offset, id: id, isDurable: durable)
      default: try ring.sync(file, id: id)
      }
      return true
    } catch {
      return false
    }
  }

  private func takeSlot() -> Int? { state.withLock { $0.free.popLast() } }

  private func giveBack(_ index: Int) {
    slots[index].slices.release()
    state.withLock { $0.free.append(index) }
  }

  // MARK: The engine's thread

  /// Takes what is done, until the engine is closed.
  func reap() {
    while !isDone {
      guard (try? ring.wait()) != nil else { break }
      ring.take { completion in
        guard completion.id != Self.wakeUp else { return }
        finish(Int(truncatingIfNeeded: completion.id), completion)
      }
    }
  }

  private var isDone: Bool {
    state.withLock { $0.isClosing && $0.free.count == slots.count } && ring.inFlight == 0
  }

  private func finish(_ index: Int, _ completion: RingCompletion) {
    let slot = slots[index]
    guard let request = slot.request.take() else { return }
    // The memory goes before the request does: what the guest does on its completion may be to take it back.
    giveBack(index)
    let isWhole =
      switch request.operation {
      case .read, .write: UInt64(completion.byteCount) == request.count
      default: completion.failure == nil
      }
    if isWhole {
      request.complete(request.isWanted ? .success : .abandoned)
    } else {
      // A part of it, or an error: the slow way does all of it again, and says what is wrong.
      pool.submit(request)
    }
  }
}
