internal import CLinux
internal import FoundationEssentials
internal import HostileFiles
package import VFIOUserTransport

/// Number of open descriptors of this process.
package func openDescriptors() -> Int { Int(clinux_open_descriptors()) }

/// Number of open descriptors once it is stable for 100 ms.
///
/// The test runner's own threads open and close some while a test process starts.
package func settledDescriptors() -> Int {
  // The first eventfd of a peer makes the process open a descriptor permanently.
  _ = clinux_signals_without_waiting()
  var count = openDescriptors()
  var since = ContinuousClock.now
  while ContinuousClock.now < since + .milliseconds(100) {
    _ = clinux_poll(nil, 0, 1_000_000)
    guard openDescriptors() != count else { continue }
    count = openDescriptors()
    since = .now
  }
  return count
}

/// A descriptor that can be identified after being sent through a socket: a memory file of `tag`
/// bytes.
package func taggedDescriptor(_ tag: Int) -> OwnedDescriptor {
  OwnedDescriptor(adopting: unsafe clinux_memory_file("tagged", UInt64(tag)))
}

/// The tag given to ``taggedDescriptor(_:)``.
package func tag(of descriptor: borrowing OwnedDescriptor) -> Int {
  Int(clinux_mappable_size(descriptor.number))
}

/// Waits up to `timeout` until a condition that depends on another thread is true.
package func eventually(
  within timeout: Duration = .seconds(10), _ condition: () -> Bool
) -> Bool {
  let end = ContinuousClock.now + timeout
  while !condition() {
    guard ContinuousClock.now < end else { return false }
    _ = clinux_poll(nil, 0, 1_000_000)
  }
  return true
}

/// Number of mappings of client memory in this process.
package func mappingsOfClients() -> Int {
  Int(unsafe clinux_count_mappings("/memfd:vfio-user-client"))
}

/// Number of mappings of region memory in this process.
package func mappingsOfRegions() -> Int {
  Int(unsafe clinux_count_mappings("/memfd:vfio-user-region"))
}

extension EventFD {
  /// Fills the counter and clears O_NONBLOCK, as a hostile peer may do to an eventfd it shares.
  package func fillAndBlock() {
    _ = clinux_set_nonblocking(descriptor.number, 0)
    for _ in 0..<2 { _ = clinux_eventfd_add(descriptor.number, .max - 1) }
  }
}

/// Number of threads of this process whose name starts with `name`.
package func threadsNamed(_ name: String) -> Int {
  let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
  return tasks.count { task in
    let path = "/proc/self/task/\(task)/comm"
    return (try? String(contentsOfFile: path, encoding: .utf8))?.hasPrefix(name) == true
  }
}

/// Resident memory of this process in KiB.
package func residentKilobytes() -> Int {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
  return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
}

/// Number of bytes allocated with malloc in this process, without free memory that malloc retains.
package func allocatedBytes() -> Int { Int(hostile_allocated_bytes()) }

/// Pages of a file that are not yet written to disk; negative if the kernel does not tell.
package func dirtyPages(of path: String) -> Int { unsafe hostile_dirty_pages(path) }

/// A file received with a message, mapped for reading and writing.
@safe
package final class MappedFile: @unchecked Sendable {
  /// Size in bytes.
  package let size: Int
  private let descriptor: OwnedDescriptor
  // Sound: mapped with `size` bytes for the lifetime of this object; tests stay inside.
  private let address: UnsafeMutableRawPointer

  /// Maps a whole file; nil on failure.
  package init?(_ descriptor: consuming OwnedDescriptor) {
    size = Int(clinux_mappable_size(descriptor.number))
    var mapped: UnsafeMutableRawPointer?
    guard size > 0, unsafe clinux_map(descriptor.number, 0, UInt64(size), 1, 1, &mapped) == 0,
      let mapped = unsafe mapped
    else { return nil }
    unsafe address = mapped
    self.descriptor = descriptor
  }

  deinit { _ = unsafe clinux_unmap(address, UInt64(size)) }

  /// A byte of the file.
  package subscript(_ offset: Int) -> UInt8 {
    get { unsafe address.load(fromByteOffset: offset, as: UInt8.self) }
    set { unsafe address.storeBytes(of: newValue, toByteOffset: offset, as: UInt8.self) }
  }
}
