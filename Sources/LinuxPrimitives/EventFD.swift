internal import CLinux

/// An eventfd: a counter that one side signals and the other waits for.
///
/// The peer shares the eventfd and may fill its counter or clear O_NONBLOCK at any time; no call
/// here blocks longer than its timeout. (Exception: if the kernel denies the process asynchronous
/// I/O, a peer that fills the counter at the right moment makes ``signal()`` block.)
public final class EventFD: Sendable {
  package let descriptor: OwnedDescriptor

  /// Creates an eventfd with a count of zero.
  public init() throws(SystemCallError) {
    descriptor = OwnedDescriptor(adopting: try checked("eventfd", clinux_eventfd()))
  }

  /// Takes ownership of an eventfd received from a peer.
  public init(adopting descriptor: consuming OwnedDescriptor) {
    self.descriptor = descriptor
  }

  /// Adds one to the count; does nothing if the counter is full, which is as good a signal.
  public func signal() {
    _ = clinux_eventfd_signal(descriptor.number)
  }

  /// Reads and resets the count without blocking; returns 0 if nothing was signalled.
  public func take() -> UInt64 {
    UInt64(max(0, clinux_eventfd_take(descriptor.number)))
  }

  /// Waits until the eventfd is signalled, then reads and resets the count.
  ///
  /// - Returns: the count, or nil on timeout.
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
  /// Whether two eventfds are certainly distinct, that is, not two descriptors of the same eventfd.
  package func isCertainlyDifferent(from other: EventFD) -> Bool {
    clinux_are_different_eventfds(descriptor.number, other.descriptor.number) == 1
  }

  /// Lends the descriptor, for a poll loop or a hypervisor; it is readable while the count is not
  /// zero.
  ///
  /// - Parameter body: must not close the descriptor.
  public func withDescriptor<Result, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(descriptor.number)
  }

  /// Waits until at least one of several eventfds is signalled.
  ///
  /// - Returns: the indices of the signalled eventfds, whose counts the caller has to read; empty
  ///   on timeout.
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
  /// Whether a descriptor certainly is an eventfd.
  ///
  /// Polling or writing to anything else may block: a pipe, or an epoll instance that contains a
  /// file which never answers.
  package static func isCounter(_ descriptor: borrowing OwnedDescriptor) -> Bool {
    clinux_is_eventfd(descriptor.number) == 1
  }
}
