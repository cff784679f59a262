internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage
package import LinuxPrimitives

/// Asynchronous file operations with io_uring.
///
/// Operations are queued, submitted together by ``submit(waitingFor:)``, and complete in any order;
/// ``take(_:)`` reaps the completions, each with the id of its operation. A ring does not allocate
/// after initialisation.
///
/// One thread at a time may queue and submit, and one thread at a time, the same or another, may
/// reap.
///
/// For files in the page cache, plain `preadv` and `pwritev` are as fast. With direct I/O, where
/// each call would wait for the disk, a ring keeps many operations in flight from one thread.
@safe
package struct Ring: ~Copyable, @unchecked Sendable {
  // Sound: created in `init`, destroyed in `deinit`; submitting and reaping touch different parts
  // of it.
  let ring: OpaquePointer
  /// Maximum number of operations in flight.
  package let capacity: Int
  let underWay = Atomic<Int>(0)
  /// For a new version of the program, which may not be allowed to make a ring.
  private let kept: KeptDescriptor?

  /// Creates a ring for at least `entries` operations in flight.
  ///
  /// - Parameters:
  ///   - entries: from 1 to 4096; the kernel rounds up to a power of two.
  ///   - name: what a new version of the program takes it over by; nil for a ring that ends with the program.
  /// - Throws: ``RingError/unavailable(_:)``.
  package init(entries: Int, keptAs name: String? = nil) throws(RingError) {
    precondition(1...4096 ~= entries, "a ring of \(entries) entries")
    var created: OpaquePointer?
    let inherited = name.flatMap { KeptRing($0) }
    let result =
      if let inherited {
        unsafe clinux_ring_resume(inherited.take(), inherited.layout, &created)
      } else {
        unsafe clinux_ring_create(UInt32(entries), &created)
      }
    guard result == 0, let created = unsafe created else {
      let code = Errno(rawValue: 0 &- result)
      throw .unavailable(SystemCallError(call: "io_uring_setup", code: code))
    }
    unsafe ring = created
    capacity = Int(unsafe clinux_ring_capacity(created))
    let layout = unsafe clinux_ring_layout_of(created)
    let number = unsafe clinux_ring_descriptor(created)
    kept = name.map { KeptDescriptor(KeptRing.text($0, layout), number: number) }
  }

  deinit {
    // The kernel may still write to memory lent to it, until every operation has completed.
    unsafe Self.drain(ring, underWay.load(ordering: .relaxed))
    unsafe clinux_ring_destroy(ring)
  }

  /// Why this process cannot create a ring; nil if it can.
  package static var unavailability: RingError? {
    do throws(RingError) {
      _ = try Ring(entries: 1)
      return nil
    } catch {
      return error
    }
  }

  /// Number of operations queued whose completions have not been reaped.
  package var inFlight: Int { underWay.load(ordering: .acquiring) }

  /// Number of operations queued but not submitted.
  package var queued: Int { Int(unsafe clinux_ring_queued(ring)) }

  /// The ring's descriptor, readable while completions can be reaped; lent, for `poll`.
  package var descriptor: Int32 { unsafe clinux_ring_descriptor(ring) }

  /// Registers an eventfd to be signalled on each completion, or unregisters it.
  package func notify(_ counter: EventFD?) throws(RingError) {
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
      // The kernel is temporarily out of memory; after any other error nothing will ever complete.
      guard result >= 0 || result == -EAGAIN || result == -EBUSY else { return }
      unsafe withCompletions { batch in
        left -= Int(unsafe clinux_ring_take(ring, batch.baseAddress, UInt32(batch.count)))
      }
    }
  }
}

/// Lends stack memory for a batch of completions.
@unsafe
func withCompletions<Result>(
  _ body: (UnsafeMutableBufferPointer<clinux_ring_completion>) -> Result
) -> Result {
  unsafe withUnsafeTemporaryAllocation(of: clinux_ring_completion.self, capacity: 32) {
    unsafe body($0)
  }
}
