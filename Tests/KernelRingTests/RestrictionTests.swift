import CLinux
import Glibc
import Intrusions
import LinuxPrimitives
import Testing

@testable import KernelRing

@Suite struct `A ring that somebody else has` {
  @Test(
    .enabled(if: Ring.unavailability == nil, "io_uring is not available"),
    arguments: [
      (18, "openat"), (16, "connect"), (13, "accept"), (26, "send"), (21, "statx"),
      (35, "renameat"),
      (36, "unlinkat"), (22, "read"), (23, "write"), (30, "splice"), (46, "uring_cmd"),
      (45, "socket"),
    ])
  func `does nothing but what a disk needs`(_ operation: Int32, _ name: String) throws {
    let ring = try Ring(entries: 4)
    // Sound: the ring is there until the end of the test.
    let layout = unsafe clinux_ring_layout_of(ring.ring)
    let numbers = layout.numbers
    let all = [
      numbers.0, numbers.1, numbers.2, numbers.3, numbers.4, numbers.5, numbers.6, numbers.7,
      numbers.8, numbers.9,
    ]
    #expect(unsafe intrusion_of_ring(ring.descriptor, all, operation) == -EACCES, "\(name)")
  }

  @Test(.enabled(if: Ring.unavailability == nil, "io_uring is not available"))
  func `goes on in another program with what its name says`() async {
    await #expect(processExitsWith: .success) {
      let first = try Ring(entries: 8, keptAs: "test")
      let entry = try #require(
        KeptDescriptor.announced.first { $0.name.hasPrefix("ring of test: ") })
      KeptDescriptor.inherit([
        .init(
          name: entry.name, number: try OwnedDescriptor.duplicate(of: entry.number).release())
      ])
      let second = try Ring(entries: 8, keptAs: "test")
      KeptDescriptor.closeUntaken()
      #expect(second.descriptor != first.descriptor && second.capacity == 8)
      try second.nothing(id: 47)
      try second.submit(waitingFor: 1)
      var seen: [UInt64] = []
      second.take { seen.append($0.id) }
      #expect(seen == [47])
    }
  }
}
