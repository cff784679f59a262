public import Logging

/// What happens on a connection, at the points that QEMU traces too.
@nonexhaustive
public enum TraceEvent: Sendable {
  /// A command or an answer of ours was handed to the socket (`vfio_user_send_write`).
  case sent(id: UInt16, Command, size: Int)
  /// A message has come, whole (`vfio_user_recv_hdr`, `vfio_user_recv_read`).
  case received(Header)
  /// The server asks for something (`vfio_user_recv_request`).
  case request(Command, bytes: Int)
  /// A reply to nothing that was asked; it is consumed.
  case unexpectedReply(Header)
  /// A reply to a command that was given up; it is consumed.
  case lateReply(Header)
  /// A version was proposed or answered (`vfio_user_version`).
  case version(major: UInt16, minor: UInt16)
  /// The device has described itself (`vfio_user_get_info`).
  case device(DeviceInfo)
  /// The device has described a region (`vfio_user_get_region_info`).
  case regionInfo(RegionInfo)
  /// The device has described a type of interrupts (`vfio_user_get_irq_info`).
  case interruptInfo(InterruptInfo)
  /// A window was registered or taken back (`vfio_user_dma_map`, `vfio_user_dma_unmap`).
  case dma(Command, address: UInt64, size: UInt64)
  /// A region is read or written (`vfio_user_region_rw`).
  case region(Command, RegionAccess)
  /// Interrupts are set up (`vfio_user_set_irqs`).
  case interrupts(SetInterrupts)
  /// Posted writes go out in one message (`vfio_user_wrmulti`).
  case coalesced(writes: Int)
  /// The connection is lost.
  case lost(StreamError)
  /// The connection is back, after as many attempts.
  case reconnected(attempts: Int)
}

/// Somebody who wants to see ``TraceEvent``s.
public protocol TraceSink: Sendable {
  /// Notes an event. Called on the thread where it happens, at times under the connection's lock: it
  /// must be quick and must not call the client.
  func record(_ event: TraceEvent)
}

/// Writes events to swift-log, at level trace.
public struct LoggingTraceSink: TraceSink {
  private let logger: Logger

  /// Logs to `logger`, which has to let trace messages through.
  public init(_ logger: Logger) { self.logger = logger }

  /// Logs the event.
  public func record(_ event: TraceEvent) { logger.trace("\(event)") }
}

/// A place in the code that may be observed; costs a comparison with nil when it is not.
struct TracePoint: Sendable {
  private let sink: (any TraceSink)?
  /// Beside the sink, since looking at an existential costs reference counting.
  let isObserved: Bool

  init(_ sink: (any TraceSink)?) {
    self.sink = sink
    isObserved = sink != nil
  }

  @inline(__always)
  func record(_ event: @autoclosure () -> TraceEvent) {
    guard isObserved else { return }
    sink?.record(event())
  }
}
