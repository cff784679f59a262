internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage
public import VFIOUserTransport

/// File operations that the kernel carries out while the program goes on (io_uring).
///
/// Operations are queued, handed over together by ``submit(waitingFor:)``, and come back in any order
/// through ``take(_:)``, each with the number it was queued with. A ring allocates nothing after it was
/// made.
///
/// One thread at a time may queue and submit, and one thread at a time, the same or another, may take.
///
/// With files in the page cache plain `preadv` and `pwritev` are as fast; with direct I/O, where each
/// call would wait for the disk, a ring keeps many under way from one thread.
@safe
public struct Ring: ~Copyable, @unchecked Sendable {
  // Sound: made in `init`, destroyed in `deinit`; submitting and taking touch different parts of it.
  let ring: OpaquePointer
  /// How many operations can be under way at a time.
  public let capacity: Int
  let underWay = Atomic<Int>(0)

  /// Makes a ring for `entries` operations at a time, or somewhat more.
  ///
  /// - Parameter entries: from 1 to 4096; the kernel rounds up to a power of two.
  /// - Throws: ``RingError/unavailable(_:)``.
  public init(entries: Int) throws(RingError) {
    precondition(1...4096 ~= entries, "a ring of \(entries) entries")
    var created: OpaquePointer?
    let result = unsafe clinux_ring_create(UInt32(entries), &created)
    guard result == 0, let created = unsafe created else {
      let code = Errno(rawValue: 0 &- result)
      throw .unavailable(SystemCallError(call: "io_uring_setup", code: code))
    }
    unsafe ring = created
    capacity = Int(unsafe clinux_ring_capacity(created))
  }

  deinit {
    // The kernel may still write to memory that was lent to it: only when everything has come back
    // does nobody touch it any more.
    unsafe Self.drain(ring, underWay.load(ordering: .relaxed))
    unsafe clinux_ring_destroy(ring)
  }

  /// Whether this process can have a ring, and if not why.
  public static var unavailability: RingError? {
    do throws(RingError) {
      _ = try Ring(entries: 1)
      return nil
    } catch {
      return error
    }
  }

  /// How many were queued and have not been taken back yet.
  public var inFlight: Int { underWay.load(ordering: .acquiring) }

  /// How many were queued and have not been handed to the kernel yet.
  public var queued: Int { Int(unsafe clinux_ring_queued(ring)) }

  /// Readable while there are completions to take; lent, for `poll`.
  public var descriptor: Int32 { unsafe clinux_ring_descriptor(ring) }

  /// Has a counter signalled with each completion, or none any more.
  public func notify(_ counter: EventFD?) throws(RingError) {
    let result = unsafe clinux_ring_notify(ring, counter?.descriptor.number ?? -1)
    do throws(SystemCallError) {
      _ = try checked("io_uring_register", result)
    } catch {
      throw .system(error)
    }
  }

  @unsafe
  private static func drain(_ ring: OpaquePointer, _ inFlight: Int) {
    var left = inFlight
    while left > 0 {
      let result = unsafe clinux_ring_submit(ring, 1)
      // Out of memory for a moment; anything else means that nothing will ever come back.
      guard result >= 0 || result == -EAGAIN || result == -EBUSY else { return }
      unsafe withCompletions { batch in
        left -= Int(unsafe clinux_ring_take(ring, batch.baseAddress, UInt32(batch.count)))
      }
    }
  }
}

/// Room for a batch of completions, on the stack.
@unsafe
func withCompletions<Result>(
  _ body: (UnsafeMutableBufferPointer<clinux_ring_completion>) -> Result
) -> Result {
  unsafe withUnsafeTemporaryAllocation(of: clinux_ring_completion.self, capacity: 32) {
    unsafe body($0)
  }
}
