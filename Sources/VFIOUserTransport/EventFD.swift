internal import CLinux

/// An eventfd: a counter that one side signals and the other waits for.
///
/// The peer shares the counter, and may fill it or make it blocking at any time: none of the calls
/// here waits longer than it was told. (Where the kernel lets the process have no asynchronous operations, a
/// peer that fills the counter at the right moment makes ``signal()`` wait.)
public final class EventFD: Sendable {
  package let descriptor: OwnedDescriptor

  /// A new counter at zero.
  public init() throws(SystemCallError) {
    descriptor = OwnedDescriptor(adopting: try checked("eventfd", clinux_eventfd()))
  }

  /// Takes over a counter that came from a peer.
  public init(adopting descriptor: consuming OwnedDescriptor) {
    self.descriptor = descriptor
  }

  /// Adds one; a counter that is full already says all there is to say.
  public func signal() {
    _ = clinux_eventfd_signal(descriptor.number)
  }

  /// Takes what has been counted since the last time, 0 when nothing was; does not wait.
  public func take() -> UInt64 {
    UInt64(max(0, clinux_eventfd_take(descriptor.number)))
  }

  /// Waits until something is counted, and takes it.
  ///
  /// - Returns: the count, or nil when the time was up first.
  public func wait(for timeout: Duration) -> UInt64? {
    let deadline = Deadline.after(timeout)
    while true {
      let count = take()
      if count > 0 { return count }
      guard !deadline.hasPassed else { return nil }
      var interest = clinux_interest(
        descriptor: descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      guard unsafe clinux_poll(&interest, 1, deadline.remaining) >= 0 else { return nil }
    }
  }
}

extension EventFD {
  /// Whether two counters are certainly not one that came by two descriptors.
  package func isCertainlyDifferent(from other: EventFD) -> Bool {
    clinux_are_different_eventfds(descriptor.number, other.descriptor.number) == 1
  }

  /// Lends the descriptor, for a poll loop or a hypervisor; it is readable while something is counted.
  ///
  /// - Parameter body: must not close it.
  public func withDescriptor<Result, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(descriptor.number)
  }

  /// Waits until one of several counters is signalled.
  ///
  /// - Returns: the places of those that are, whose counts are for the caller to take; none when the time
  ///   was up first.
  public static func wait(forAnyOf counters: [EventFD], for timeout: Duration) -> [Int] {
    let deadline = Deadline.after(timeout)
    var interests = counters.map {
      clinux_interest(
        descriptor: $0.descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
    }
    while true {
      let ready = unsafe clinux_poll(
        &interests, Int32(clamping: interests.count), deadline.remaining)
      let signalled = interests.indices.filter { interests[$0].happened != 0 }
      if ready < 0 || !signalled.isEmpty || deadline.hasPassed { return signalled }
    }
  }
}

extension EventFD {
  /// Whether a descriptor is an eventfd for certain.
  ///
  /// Anything else can make polling or writing it wait: a pipe, or an epoll instance with a file in it that
  /// never answers.
  package static func isCounter(_ descriptor: borrowing OwnedDescriptor) -> Bool {
    clinux_is_eventfd(descriptor.number) == 1
  }
}
