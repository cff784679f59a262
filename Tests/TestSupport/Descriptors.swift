internal import CLinux
internal import FoundationEssentials
internal import HostileFiles
public import VFIOUserTransport

/// Descriptors that this process has open right now.
public func openDescriptors() -> Int { Int(clinux_open_descriptors()) }

/// Descriptors that are open once the test runner has settled: its own threads open and close some
/// while a test process starts.
public func settledDescriptors() -> Int {
  // What the first eventfd of a peer makes the process open, for good.
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

/// A descriptor that can be told from others after a trip through a socket: a memory file of
/// `tag` bytes.
public func taggedDescriptor(_ tag: Int) -> OwnedDescriptor {
  OwnedDescriptor(adopting: unsafe clinux_memory_file("tagged", UInt64(tag)))
}

/// What ``taggedDescriptor(_:)`` was given.
public func tag(of descriptor: borrowing OwnedDescriptor) -> Int {
  Int(clinux_mappable_size(descriptor.number))
}

/// Waits up to `timeout` for something that another thread brings about.
public func eventually(
  within timeout: Duration = .seconds(10), _ condition: () -> Bool
) -> Bool {
  let end = ContinuousClock.now + timeout
  while !condition() {
    guard ContinuousClock.now < end else { return false }
    _ = clinux_poll(nil, 0, 1_000_000)
  }
  return true
}

/// Mappings of client memory in this process.
public func mappingsOfClients() -> Int {
  Int(unsafe clinux_count_mappings("/memfd:vfio-user-client"))
}

/// Mappings of memory behind regions in this process.
public func mappingsOfRegions() -> Int {
  Int(unsafe clinux_count_mappings("/memfd:vfio-user-region"))
}

extension EventFD {
  /// What a hostile peer does to a counter that it shares: full, and blocking.
  public func fillAndBlock() {
    _ = clinux_set_nonblocking(descriptor.number, 0)
    for _ in 0..<2 { _ = clinux_eventfd_add(descriptor.number, .max - 1) }
  }
}

/// Threads of this process with a name.
public func threadsNamed(_ name: String) -> Int {
  let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
  return tasks.count { task in
    let path = "/proc/self/task/\(task)/comm"
    return (try? String(contentsOfFile: path, encoding: .utf8))?.hasPrefix(name) == true
  }
}

/// Memory of this process that is in RAM, in KiB.
public func residentKilobytes() -> Int {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
  return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
}

/// Bytes that malloc has handed out in this process, whether it keeps more for later or not.
public func allocatedBytes() -> Int { Int(hostile_allocated_bytes()) }

/// Pages of a file that are in the page cache and not yet on the disk; negative where the kernel does not tell.
public func dirtyPages(of path: String) -> Int { unsafe hostile_dirty_pages(path) }

/// A file that came with a message, mapped to be looked at and changed.
@safe
public final class MappedFile: @unchecked Sendable {
  /// Bytes.
  public let size: Int
  private let descriptor: OwnedDescriptor
  // Sound: mapped with `size` bytes for the life of this object; tests stay inside.
  private let address: UnsafeMutableRawPointer

  /// Maps all of a file; nil when that does not work.
  public init?(_ descriptor: consuming OwnedDescriptor) {
    size = Int(clinux_mappable_size(descriptor.number))
    var mapped: UnsafeMutableRawPointer?
    guard size > 0, unsafe clinux_map(descriptor.number, 0, UInt64(size), 1, 1, &mapped) == 0,
      let mapped = unsafe mapped
    else { return nil }
    unsafe address = mapped
    self.descriptor = descriptor
  }

  deinit { _ = unsafe clinux_unmap(address, UInt64(size)) }

  /// One byte.
  public subscript(_ offset: Int) -> UInt8 {
    get { unsafe address.load(fromByteOffset: offset, as: UInt8.self) }
    set { unsafe address.storeBytes(of: newValue, toByteOffset: offset, as: UInt8.self) }
  }
}
