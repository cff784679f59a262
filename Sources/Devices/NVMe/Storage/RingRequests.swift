internal import LinuxPrimitives
internal import KernelRing
internal import SystemPackage

/// The requests that a ring has: what the controller's thread and the thread of a ``RingEngine`` share.
final class RingRequests: Sendable {
  /// A request that the ring has, and the client memory that it holds for it.
  ///
  /// The controller's thread has it from the free list until it was submitted, the engine's thread from its
  /// completion until it is in the free list again.
  private final class Slot: @unchecked Sendable {
    var request: StorageRequest?
    var slices = PinnedSlices(capacity: 8)
    /// Whether the kernel writes to the client's memory, which a reset waits for.
    var isWriting = false
  }

  private struct State {
    var free: [Int]
    var isClosing = false
  }

  private let ring: Ring
  /// Counts completions, and whatever else the engine's thread should look at.
  private let wakeup: EventFD
  private let slots: [Slot]
  private let state: Monitor<State>
  private let pool: ThreadPool

  init(_ ring: consuming Ring, _ wakeup: EventFD, _ pool: ThreadPool) {
    let count = ring.capacity
    self.ring = ring
    self.wakeup = wakeup
    self.pool = pool
    slots = (0..<count).map { _ in Slot() }
    state = Monitor(State(free: Array((0..<count).reversed())))
  }

  /// Has completions wake the engine's thread.
  func watch() throws(RingError) { try ring.notify(wakeup) }

  // MARK: The controller's thread

  /// Queues a request.
  ///
  /// - Returns: false when the ring cannot do it.
  func queue(_ request: StorageRequest) -> Bool {
    guard request.buffer == nil, request.isWanted else { return false }
    guard let index = state.withLock({ $0.free.popLast() }) else { return false }
    let slot = slots[index]
    // The request is there before the ring has it: its completion is another thread's.
    slot.request = request
    if prepare(request, slot), start(request, slot, UInt64(index)) { return true }
    _ = free(index)
    return false
  }

  /// Hands what was queued to the kernel; what it has no room for now (`EAGAIN`, `EBUSY`) goes to the pool.
  func submit() {
    while ring.queued > 0 {
      if let count = try? ring.submit(), count > 0 { continue }
      ring.withdraw { id in
        guard let request = free(Int(truncatingIfNeeded: id)) else { return }
        pool.submit(request)
      }
    }
  }

  /// Has the engine's thread end when nothing is under way any more.
  func close() {
    submit()
    state.update { $0.isClosing = true }
    wakeup.signal()
  }

  /// Pins the memory of a request.
  ///
  /// - Returns: false when that does not go straight between file and memory.
  private func prepare(_ request: StorageRequest, _ slot: Slot) -> Bool {
    let direction: GuestMemoryAccess.Direction
    switch request.operation {
    case .flush: return true
    case .zero, .deallocate: return false
    case .read: direction = .writing
    case .write: direction = .reading
    }
    guard request.isAligned else { return false }
    if direction == .writing {
      guard request.beginWriting() else { return false }
      slot.isWriting = true
    }
    do throws(MemoryError) {
      for range in request.ranges {
        try slot.slices.pin(range, for: direction, of: request.access)
      }
      return slot.slices.byteCount == request.count
    } catch {
      // The pool finds out the same, and says so.
      return false
    }
  }

  private func start(_ request: StorageRequest, _ slot: Slot, _ id: UInt64) -> Bool {
    let file = FileDescriptor(rawValue: request.file.descriptor.number)
    do throws(RingError) {
      // Sound: the slot keeps the slices, and with them the memory, until the completion was taken or the
      // operation withdrawn; it keeps the request, and with it the file.
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

  // MARK: Both threads, each with slots of its own

  /// Lets go of what a slot holds, and gives it back.
  private func free(_ index: Int) -> StorageRequest? {
    let slot = slots[index]
    let request = slot.request.take()
    slot.slices.release()
    if slot.isWriting { request?.endWriting() }
    slot.isWriting = false
    state.withLock { $0.free.append(index) }
    return request
  }

  // MARK: The engine's thread

  /// Takes what is done, until the engine is closed and everything has come back.
  func reap() {
    while !isDone {
      _ = wakeup.wait(for: .seconds(3600))
      ring.take { completion in
        // The memory goes before the request does: what the guest does on its completion may be to take it back.
        guard let request = free(Int(truncatingIfNeeded: completion.id)) else { return }
        finish(request, completion)
      }
    }
    // Only now: what came back half done was given to it.
    pool.close()
  }

  private var isDone: Bool {
    state.withLock { $0.isClosing && $0.free.count == slots.count }
  }

  private func finish(_ request: StorageRequest, _ completion: RingCompletion) {
    let isWhole =
      switch request.operation {
      case .read, .write: UInt64(completion.byteCount) == request.count
      default: completion.failure == nil
      }
    if isWhole {
      request.complete(request.isWanted ? .success : .abandoned)
    } else if let failure = completion.failure, request.isFinal(failure) {
      request.complete(.storage(failure))
    } else {
      // A part of it, or an error: the slow way does all of it again, and says what is wrong.
      pool.submit(request)
    }
  }
}
