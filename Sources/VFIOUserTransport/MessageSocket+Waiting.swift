internal import CLinux
package import LinuxPrimitives

/// Waiting for a socket, with a deadline.
extension MessageSocket {
  /// Waits until the socket is ready for one of `wanted`.
  ///
  /// - Returns: what the socket is ready for; empty on timeout, or when ``isInterrupted`` is set.
  package func wait(
    for wanted: Readiness, before deadline: Deadline
  ) throws(StreamError) -> Readiness {
    while true {
      var interest = clinux_interest(
        descriptor: descriptor.number, wanted: wanted.rawValue, happened: 0)
      let ready = unsafe clinux_poll(&interest, 1, deadline.remaining)
      guard ready >= 0 else { throw .system(failure("ppoll", Int(ready))) }
      if ready > 0 || deadline.hasPassed || isInterrupted {
        return Readiness(rawValue: interest.happened)
      }
    }
  }

  /// Waits until the socket is ready, the eventfd is signalled, or the deadline passes.
  ///
  /// - Returns: what the socket is ready for; the caller reads the eventfd's count.
  package func wait(
    for wanted: Readiness, or counter: EventFD, before deadline: Deadline
  ) throws(StreamError) -> Readiness {
    while true {
      var interests: [2 of clinux_interest] = [
        clinux_interest(descriptor: descriptor.number, wanted: wanted.rawValue, happened: 0),
        clinux_interest(
          descriptor: counter.descriptor.number, wanted: Readiness.readable.rawValue, happened: 0),
      ]
      var span = interests.mutableSpan
      let ready = unsafe span.withUnsafeMutableBufferPointer {
        unsafe clinux_poll($0.baseAddress, 2, deadline.remaining)
      }
      guard ready >= 0 else { throw .system(failure("ppoll", Int(ready))) }
      if ready > 0 || deadline.hasPassed || isInterrupted {
        return Readiness(rawValue: interests[0].happened)
      }
    }
  }
}

/// What a socket can be polled for.
package struct Readiness: OptionSet, Sendable {
  package let rawValue: Int16
  @inlinable package init(rawValue: Int16) { self.rawValue = rawValue }

  package static let readable = Readiness(rawValue: Int16(CLINUX_READABLE))
  package static let writable = Readiness(rawValue: Int16(CLINUX_WRITABLE))
  package static let hangUp = Readiness(rawValue: Int16(CLINUX_HANGUP))
}
