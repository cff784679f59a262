internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization
internal import SystemPackage

/// The doorbell registers (NVMe 1.4, sections 3.1.24 and 3.1.25), which two threads share.
///
/// The connection's thread stores each trapped write, or what is wrong with it. Where clients map the page, the
/// controller's thread polls it.
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
  private let shared = Monitor<(places: ShadowDoorbells, access: GuestMemoryAccess)?>(nil)

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

  /// Stores a trapped write, on the connection's thread.
  ///
  /// - Returns: whether it is valid.
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
    return unsafe memory?.load32(at: RegisterOffset.doorbells + UInt64(4 * index)) ?? 0
  }

  /// The host keeps the doorbells of I/O queues in its memory, or does so no longer.
  func share(_ places: ShadowDoorbells?, _ access: GuestMemoryAccess) {
    shared.withLock { $0 = places.map { ($0, access) } }
  }

  /// The newest head of a completion queue, wherever the host keeps it; nil when this thread cannot read it.
  func newestHead(of queue: UInt16) -> UInt32? {
    let index = Self.head(of: queue)
    guard queue != 0, let (places, access) = shared.withLock({ $0 }) else {
      return value(of: index)
    }
    return try? access.load(at: places.value(index))
  }

  /// A queue of so many entries was created.
  func open(_ index: Int, size: UInt32) {
    unsafe values[index].store(0, ordering: .relaxed)
    unsafe try? memory?.store(UInt32(0), at: RegisterOffset.doorbells + UInt64(4 * index))
    unsafe sizes[index].store(size, ordering: .releasing)
  }

  /// What the host had written last elsewhere.
  func load(_ value: UInt32, _ index: Int) {
    unsafe values[index].store(value, ordering: .releasing)
  }

  /// The queue was deleted.
  func close(_ index: Int) {
    unsafe sizes[index].store(0, ordering: .releasing)
    unsafe values[index].store(0, ordering: .relaxed)
  }

  func note(_ fault: Faults) { faults.bitwiseOr(fault.rawValue, ordering: .acquiringAndReleasing) }

  /// Whether there were invalid writes since the last call of ``takeFaults()``.
  var holdsFaults: Bool { faults.load(ordering: .relaxed) != 0 }

  /// The kinds of invalid writes since the last call.
  func takeFaults() -> Faults {
    guard faults.load(ordering: .relaxed) != 0 else { return [] }
    return Faults(rawValue: faults.exchange(0, ordering: .acquiringAndReleasing))
  }
}
