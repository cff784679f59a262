internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage
internal import Synchronization

/// The memory of the client, as far as it lets the device reach it.
///
/// Every access goes through a ``GuestMemoryAccess``, which belongs to the client that was there when it was
/// made: what was begun for a client that has gone fails with ``MemoryError/stale`` and never lands
/// in the memory of the next one.
///
/// Guest addresses are resolved at each access, because clients take windows back and lend them
/// again in other pieces while a device runs. An access that meets a hole within
/// ``holePatience`` of a window's disappearance waits for the rest of that transaction, unless it is
/// on the thread that would receive it.
///
/// Firmware and drivers of an earlier client leave a device in the middle of something. So no access is
/// allowed for a new client before it has reset the device, set an interrupt's eventfd, or set the bus
/// master bit. The first client finds the device fresh, and allows DMA as it is.
///
/// Clients that come and go and resets of the device are counted as *generations*: an access belongs to
/// one, and fails when it is over. A device whose bus master bit (PCI 3.0, 6.2.2) is clear reaches nothing,
/// unless its description says that it does not need the bit.
///
/// Everything here may be called from any thread.
public final class GuestMemory: Sendable {
  struct State {
    var table = WindowTable<DMAWindow>()
    /// Counts clients that come and go, and resets.
    var generation: UInt64 = 0
    /// Whether a reset, or the end of a client, is under way.
    var isEnding = false
    var isDMAAllowed = true
    /// Bit 2 of the command register; always true for a device that does not need it.
    var isBusMaster: Bool
    /// Counts the changes of the table, for those who wait for one.
    var changes: UInt64 = 0
    /// Until when a hole may be part of a transaction of the client; nanoseconds of the clock.
    var holesMayCloseUntil: UInt64 = 0
    var channel: DMAChannel?
    var observer: WriteObserver?
    /// Told when a window that is being taken back has become free; nil while none is.
    var removalObserver: EventFD?
  }

  /// Hears of each range that was written, for dirty page tracking; runs on the writing thread, while
  /// the window is pinned.
  package typealias WriteObserver = @Sendable (_ address: UInt64, _ count: UInt64) -> Void

  /// How long a hole may last that a client makes by taking a window back.
  static let holePatience: Duration = .milliseconds(100)

  let state: Monitor<State>
  /// Held while something is done on condition that the generation is current.
  private let conclusion = Monitor(())
  let isGuarded: Bool
  private let requiresBusMaster: Bool
  let budget = MappingBudget.process.newShare()
  /// A copy of the state's, for a look at each message without the lock.
  private let allowsDMA = Atomic(true)
  /// Whether the device has to be told that DMA is allowed; the session thread's.
  private let hasNews = Atomic(false)
  /// The thread that receives from the client, 0 while there is none.
  private let receivingThread = Atomic<UInt64>(0)

  package init(guarded: Bool, requiresBusMaster: Bool = false) {
    isGuarded = guarded
    self.requiresBusMaster = requiresBusMaster
    state = Monitor(State(isBusMaster: !requiresBusMaster))
  }

  /// A licence to touch the memory of the client that is there now.
  ///
  /// A device takes one in the callback that starts some work, and passes it to whoever does it.
  public func access() -> GuestMemoryAccess {
    GuestMemoryAccess(memory: self, generation: state.withLock { $0.generation })
  }

  /// How many windows there are.
  package var windowCount: Int { state.withLock { $0.table.count } }

  /// Sets or ends the tracking of writes; costs nothing while there is none.
  package func observeWrites(_ observer: WriteObserver?) {
    state.withLock { $0.observer = observer }
  }

  /// Whether this is the thread that receives from the client, where nothing may be waited for that
  /// the client has to send.
  var isOnReceivingThread: Bool {
    receivingThread.load(ordering: .relaxed) == clinux_thread_id()
  }

  /// Notes that this thread receives from the client from now on.
  func enterReceivingThread() {
    if isGuarded { clinux_guard_enter_thread() }
    receivingThread.store(clinux_thread_id(), ordering: .relaxed)
  }

  /// This thread no longer receives from the client.
  func leaveReceivingThread() { receivingThread.store(0, ordering: .relaxed) }

  /// A client has come.
  func connect(_ channel: DMAChannel) {
    state.withLock { state in
      // What was begun while nobody was there is not for this client either.
      state.generation += 1
      state.channel = channel
    }
  }

  /// The client has reset the device or set it up again.
  package func allowDMA() {
    guard !isDMAAllowed else { return }
    state.withLock { $0.isDMAAllowed = true }
    allowsDMA.store(true, ordering: .relaxed)
    hasNews.store(true, ordering: .relaxed)
  }

  /// Whether DMA was allowed since the last call; on the session's thread.
  func takeDMAAllowed() -> Bool {
    guard hasNews.load(ordering: .relaxed) else { return false }
    hasNews.store(false, ordering: .relaxed)
    return true
  }

  /// Software has written the bus master bit of the command register.
  func setBusMaster(_ isSet: Bool) {
    guard requiresBusMaster else { return }
    state.withLock { $0.isBusMaster = isSet }
  }

  /// The device is about to be reset: accesses of before fail, and complete nothing.
  ///
  /// Nothing is current until ``beginGeneration()``, so that no thread of the device comes between this and
  /// the device's own reset.
  ///
  /// - Returns: the last generation that is over.
  func endGeneration() -> UInt64 {
    conclusion.withLock { _ in
      state.withLock { state in
        defer { state.generation += 1 }
        state.isEnding = true
        return state.generation
      }
    }
  }

  /// The device has done what the end of a generation asks of it.
  func beginGeneration() { state.withLock { $0.isEnding = false } }

  /// Whether work of a generation concerns somebody: its client is there, and no reset came since.
  func isCurrent(_ generation: UInt64) -> Bool {
    state.withLock { $0.generation == generation && $0.channel != nil && !$0.isEnding }
  }

  /// Does something if a generation is current, and has whoever ends it wait meanwhile.
  func ifCurrent(_ generation: UInt64, _ body: () -> Void) -> Bool {
    conclusion.withLock { _ in
      guard isCurrent(generation) else { return false }
      body()
      return true
    }
  }

  /// Whether a client has agreed on a version, and has not gone.
  var isConnected: Bool { state.withLock { $0.channel != nil } }

  /// Whether the client may be reached; looked at by the session's thread, which alone changes it.
  var isDMAAllowed: Bool { allowsDMA.load(ordering: .relaxed) }

  /// The client has gone: its windows go when the last access to each of them ends, and nothing new
  /// begins.
  ///
  /// - Returns: the generation from now on.
  @discardableResult
  package func disconnect() -> UInt64 {
    // The windows are handed out: unmapping takes long, and must not happen under the lock.
    let (windows, channel, generation) = conclusion.withLock { _ in
      state.update { state in
        state.generation += 1
        state.isEnding = true
        state.isDMAAllowed = false
        state.changes += 1
        state.holesMayCloseUntil = 0
        state.removalObserver = nil
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
