internal import NVMeProtocol
internal import Synchronization
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// What the host has written to its doorbells, as the controller's thread sees it.
///
/// The connection's thread notes each write and what is wrong with it; or the page is memory that the
/// client has mapped, and the controller's thread looks by itself.
@safe
final class Doorbells: @unchecked Sendable {
  /// What is wrong with a write.
  struct Faults: OptionSet {
    let rawValue: UInt8
    /// There is no such queue.
    static let register = Faults(rawValue: 1)
    /// The queue does not have such an entry.
    static let value = Faults(rawValue: 2)
  }

  /// Queue pairs, the admin queue's included.
  let pairs: Int
  // Sound: `2 * pairs` numbers each, initialised for the life of this object, and only used atomically.
  private let values: UnsafeMutablePointer<Atomic<UInt32>>
  private let sizes: UnsafeMutablePointer<Atomic<UInt32>>
  private let faults = Atomic<UInt8>(0)
  /// Whether completions wait for room, so that head doorbells have to wake the controller's thread.
  let wantsHeads = Atomic<Bool>(false)
  /// The page, when clients may map it; set before the first client comes.
  private let mapped = Atomic<Bool>(false)
  nonisolated(unsafe) private var memory: RegionMemory?
  /// Where the host keeps its doorbells in its own memory, if it does.
  private let shared = Monitor<(places: ShadowDoorbells, transfer: GuestMemoryAccess)?>(nil)

  init(pairs: Int) {
    self.pairs = pairs
    unsafe values = .allocate(capacity: 2 * pairs)
    unsafe sizes = .allocate(capacity: 2 * pairs)
    for index in 0..<2 * pairs {
      unsafe (values + index).initialize(to: Atomic(0))
      unsafe (sizes + index).initialize(to: Atomic(0))
    }
  }

  deinit {
    unsafe values.deinitialize(count: 2 * pairs)
    unsafe sizes.deinitialize(count: 2 * pairs)
    unsafe values.deallocate()
    unsafe sizes.deallocate()
  }

  /// Clients map the page; called once, before any of them is there.
  func use(_ memory: RegionMemory) {
    // Sound: nobody looks at it before `mapped` is set.
    unsafe self.memory = memory
    mapped.store(true, ordering: .releasing)
  }

  var areMapped: Bool { mapped.load(ordering: .acquiring) }

  static func tail(of queue: UInt16) -> Int { 2 * Int(queue) }
  static func head(of queue: UInt16) -> Int { 2 * Int(queue) + 1 }

  /// Notes a write, on the connection's thread.
  ///
  /// - Returns: whether it makes sense.
  func write(_ value: UInt32, to index: Int) -> Bool {
    guard index >= 0, index < 2 * pairs,
      case let size = unsafe sizes[index].load(ordering: .acquiring), size > 0
    else {
      note(.register)
      return false
    }
    guard value < size else {
      note(.value)
      return false
    }
    unsafe values[index].store(value, ordering: .sequentiallyConsistent)
    return true
  }

  /// What was written last; not checked when the page is mapped.
  func value(of index: Int) -> UInt32 {
    guard areMapped else { return unsafe values[index].load(ordering: .sequentiallyConsistent) }
    return unsafe (try? memory?.load(at: RegisterOffset.doorbells + UInt64(4 * index))) ?? 0
  }

  /// The host keeps the doorbells of I/O queues in its memory, or does so no longer.
  func share(_ places: ShadowDoorbells?, _ transfer: GuestMemoryAccess) {
    shared.withLock { $0 = places.map { ($0, transfer) } }
  }

  /// How far the host has read a completion queue by its newest word, wherever it says that; nil when it cannot be
  /// had on this thread.
  func newestHead(of queue: UInt16) -> UInt32? {
    let index = Self.head(of: queue)
    guard queue != 0, let (places, transfer) = shared.withLock({ $0 }) else {
      return value(of: index)
    }
    return try? transfer.load(at: places.value(index))
  }

  /// A queue of so many entries is there from now on.
  func open(_ index: Int, size: UInt32) {
    unsafe values[index].store(0, ordering: .relaxed)
    unsafe try? memory?.store(UInt32(0), at: RegisterOffset.doorbells + UInt64(4 * index))
    unsafe sizes[index].store(size, ordering: .releasing)
  }

  /// The queue is there no longer.
  func close(_ index: Int) {
    unsafe sizes[index].store(0, ordering: .releasing)
    unsafe values[index].store(0, ordering: .relaxed)
  }

  func note(_ fault: Faults) { faults.bitwiseOr(fault.rawValue, ordering: .acquiringAndReleasing) }

  /// Whether something was wrong since the last time.
  var holdsFaults: Bool { faults.load(ordering: .relaxed) != 0 }

  /// What was wrong since the last time.
  func takeFaults() -> Faults {
    guard faults.load(ordering: .relaxed) != 0 else { return [] }
    return Faults(rawValue: faults.exchange(0, ordering: .acquiringAndReleasing))
  }
}
