internal import CLinux
public import VFIOUserTransport

/// Descriptors that this process has open right now.
public func openDescriptors() -> Int { Int(clinux_open_descriptors()) }

/// Descriptors that are open once the test runner has settled: its own threads open and close some
/// while a test process starts.
public func settledDescriptors() -> Int {
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

extension EventCounter {
  /// What a hostile peer does to a counter that it shares: full, and blocking.
  public func fillAndBlock() {
    _ = clinux_set_nonblocking(descriptor.number, 0)
    for _ in 0..<2 { _ = clinux_eventfd_add(descriptor.number, .max - 1) }
  }
}
