internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage
public import Synchronization

/// The client's memory, as far as the device may access it.
///
/// Every access uses a ``GuestMemoryAccess``, which belongs to the client that was connected when it was
/// made. After that client has disconnected, accesses fail with ``MemoryError/stale``, and never reach the
/// memory of the next client.
///
/// Guest addresses are resolved at each access, because a client unmaps DMA windows and maps them again in
/// other pieces while a device runs. An access to a hole within `holePatience` after a window was unmapped
/// waits for a new window, except on the thread that receives the client's messages.
///
/// A device may still have work of the firmware or driver of an earlier client. So no access is allowed for a
/// new client before it has reset the device, set an interrupt's eventfd, or set the bus master bit. The
/// first client of a device allows DMA from the start.
///
/// A *generation* ends when a client connects or disconnects and when the device is reset: an access belongs
/// to one generation, and fails after its end. While the bus master bit is clear (PCI 3.0, 6.2.2) every
/// access fails, unless ``PCIDescription/requiresBusMaster`` is false.
///
/// Every method may be called from any thread.
public final class GuestMemory: Sendable {
  struct State {
    var table = WindowTable<DMAWindow>()
    /// The files in which the windows are.
    var files = KeptFiles()
    /// The number of the present generation.
    var generation: UInt64 = 0
    /// Whether a reset, or the end of a client, is in progress.
    var isEnding = false
    var isDMAAllowed = true
    /// Bit 2 of the command register; always true for a device that does not need it.
    var isBusMaster: Bool
    /// Number of changes of the table; threads wait for it to change.
    var changes: UInt64 = 0
    /// Until when an access to a hole waits; nanoseconds of the monotonic clock.
    var holesMayCloseUntil: UInt64 = 0
    var channel: DMAChannel?
    var observer: WriteObserver?
    /// Signalled when a window that is being removed is no longer pinned; nil if none is being removed.
    var removalObserver: EventFD?
  }

  /// Called for each range that was written, for dirty page tracking; on the writing thread, while the window
  /// is pinned.
  package typealias WriteObserver = @Sendable (_ address: UInt64, _ count: UInt64) -> Void

  /// How long after an unmap an access to a hole waits.
  static let holePatience: Duration = .milliseconds(100)

  let state: Monitor<State>
  /// Held while a closure runs that requires a current generation.
  private let conclusion = Monitor(())
  let isGuarded: Bool
  private let requiresBusMaster: Bool
  let budget = MappingBudget.process.newShare()
  /// Changes, under the lock, with everything that ends an access to a window that was found before; for a
  /// ``WindowCache``.
  @usableFromInline let epoch = Atomic<UInt64>(0)
  /// Whether the state has an observer, for a look after each write without the lock.
  @usableFromInline let isObserved = Atomic(false)
  /// A copy of `State.isDMAAllowed`, to be read at each message without the lock.
  private let allowsDMA = Atomic(true)
  /// Whether `Device.dmaAllowed()` has to be called; used by the session's thread only.
  private let hasNews = Atomic(false)
  /// The thread that receives from the client, 0 while there is none.
  private let receivingThread = Atomic<UInt64>(0)

  package init(guarded: Bool, requiresBusMaster: Bool = false) {
    isGuarded = guarded
    self.requiresBusMaster = requiresBusMaster
    state = Monitor(State(isBusMaster: !requiresBusMaster))
  }

  /// Makes an access to the memory of the present client.
  ///
  /// A device makes it in the callback that starts some work, and passes it to the thread that does the work.
  public func access() -> GuestMemoryAccess {
    GuestMemoryAccess(memory: self, generation: state.withLock { $0.generation })
  }

  /// Number of windows.
  package var windowCount: Int { state.withLock { $0.table.count } }

  /// Number of bytes of the windows that are mapped.
  var mappedBytes: UInt64 { budget.bytes }

  /// Sets or removes the observer of writes; without one, writes cost nothing more.
  ///
  /// A write in progress is reported when it ends.
  package func observeWrites(_ observer: WriteObserver?) {
    state.withLock { $0.observer = observer }
    isObserved.store(observer != nil, ordering: .releasing)
  }

  /// A range was written, and is still pinned.
  func noteWrite(_ address: UInt64, _ count: UInt64) {
    guard isObserved.load(ordering: .acquiring) else { return }
    state.withLock { $0.observer }?(address, count)
  }

  /// Whether the calling thread receives the client's messages, so that it must not wait for one.
  var isOnReceivingThread: Bool {
    receivingThread.load(ordering: .relaxed) == clinux_thread_id()
  }

  /// The calling thread receives the client's messages from now on.
  func enterReceivingThread() {
    if isGuarded { clinux_guard_enter_thread() }
    receivingThread.store(clinux_thread_id(), ordering: .relaxed)
  }

  /// No thread receives messages any more.
  func leaveReceivingThread() { receivingThread.store(0, ordering: .relaxed) }

  /// A client has come.
  func connect(_ channel: DMAChannel) {
    state.withLock { state in
      // Work that was begun without a client is not for this client either.
      state.generation += 1
      state.channel = channel
      endAccesses()
    }
  }

  /// The client allows DMA.
  package func allowDMA() {
    guard !isDMAAllowed else { return }
    state.withLock { $0.isDMAAllowed = true }
    allowsDMA.store(true, ordering: .relaxed)
    hasNews.store(true, ordering: .relaxed)
  }

  /// Takes over whether DMA is allowed, from a state that is loaded.
  func setDMAAllowed(_ isAllowed: Bool) {
    guard !isAllowed else { return allowDMA() }
    state.withLock { state in
      state.isDMAAllowed = false
      endAccesses()
    }
    allowsDMA.store(false, ordering: .relaxed)
  }

  /// What was found before must be looked for again; with the lock held.
  func endAccesses() { epoch.add(1, ordering: .sequentiallyConsistent) }

  /// Whether DMA was allowed since the last call; for the session's thread.
  func takeDMAAllowed() -> Bool {
    guard hasNews.load(ordering: .relaxed) else { return false }
    hasNews.store(false, ordering: .relaxed)
    return true
  }

  /// Software has written the bus master bit of the command register.
  func setBusMaster(_ isSet: Bool) {
    guard requiresBusMaster else { return }
    state.withLock { state in
      state.isBusMaster = isSet
      endAccesses()
    }
  }

  /// Ends the present generation: its accesses fail from now on.
  ///
  /// Until ``beginGeneration()`` no generation is current, so that no work of the device completes between
  /// this and the device's own reset.
  ///
  /// - Returns: the generation that was ended.
  func endGeneration() -> UInt64 {
    conclusion.withLock { _ in
      state.withLock { state in
        defer { state.generation += 1 }
        state.isEnding = true
        endAccesses()
        return state.generation
      }
    }
  }

  /// The device was reset or has released the client: the new generation is current from now on.
  func beginGeneration() { state.withLock { $0.isEnding = false } }

  /// Whether a generation is current: its client is connected, and the device was not reset since.
  func isCurrent(_ generation: UInt64) -> Bool {
    state.withLock { $0.generation == generation && $0.channel != nil && !$0.isEnding }
  }

  /// Runs a closure if a generation is current; the generation cannot end while the closure runs.
  func ifCurrent(_ generation: UInt64, _ body: () -> Void) -> Bool {
    conclusion.withLock { _ in
      guard isCurrent(generation) else { return false }
      body()
      return true
    }
  }

  /// Whether a client has negotiated a version and is connected.
  var isConnected: Bool { state.withLock { $0.channel != nil } }

  /// Whether the client allows DMA; for the session's thread, which alone changes it.
  var isDMAAllowed: Bool { allowsDMA.load(ordering: .relaxed) }

  /// Ends the last generation of a client: each of its windows is unmapped when the last access to it ends.
  ///
  /// - Returns: the new generation.
  @discardableResult
  package func disconnect() -> UInt64 {
    // The windows leave the lock first, because unmapping takes long.
    let (windows, channel, generation) = conclusion.withLock { _ in
      state.update { state in
        state.generation += 1
        state.isEnding = true
        state.isDMAAllowed = false
        state.changes += 1
        state.holesMayCloseUntil = 0
        state.removalObserver = nil
        endAccesses()
        let windows = exchange(&state.table, with: WindowTable())
        return (windows, state.channel.take(), state.generation)
      }
    }
    hasNews.store(false, ordering: .relaxed)
    allowsDMA.store(false, ordering: .relaxed)
    leaveReceivingThread()
    channel?.close()
    _ = consume windows
    return generation
  }
}
