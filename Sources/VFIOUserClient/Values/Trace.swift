public import Logging

/// Events on a connection; the trace points are those of QEMU.
@nonexhaustive
public enum TraceEvent: Sendable {
  /// A command or a reply of the client was queued (`vfio_user_send_write`).
  case sent(id: UInt16, Command, size: Int)
  /// A complete message was received (`vfio_user_recv_hdr`, `vfio_user_recv_read`).
  case received(Header)
  /// The server sent a request (`vfio_user_recv_request`).
  case request(Command, bytes: Int)
  /// A reply without a command; it is discarded.
  case unexpectedReply(Header)
  /// A reply to a command that timed out or was cancelled; it is discarded.
  case lateReply(Header)
  /// A version was proposed or answered (`vfio_user_version`).
  case version(major: UInt16, minor: UInt16)
  /// The device has described itself (`vfio_user_get_info`).
  case device(DeviceInfo)
  /// The device has described a region (`vfio_user_get_region_info`).
  case regionInfo(RegionInfo)
  /// The device has described a type of interrupts (`vfio_user_get_irq_info`).
  case interruptInfo(InterruptInfo)
  /// A DMA window was mapped or unmapped (`vfio_user_dma_map`, `vfio_user_dma_unmap`).
  case dma(Command, address: UInt64, size: UInt64)
  /// A region is read or written (`vfio_user_region_rw`).
  case region(Command, RegionAccess)
  /// Interrupts are set up (`vfio_user_set_irqs`).
  case interrupts(SetInterrupts)
  /// Posted writes go out in one message (`vfio_user_wrmulti`).
  case coalesced(writes: Int)
  /// The connection is lost.
  case lost(StreamError)
  /// The client has reconnected, after this number of attempts.
  case reconnected(attempts: Int)
}

/// Receives ``TraceEvent``s.
public protocol TraceSink: Sendable {
  /// Handles an event; called on the thread of the event, sometimes under the connection's lock, so it must
  /// be quick and must not call the client.
  func record(_ event: TraceEvent)
}

/// Writes events to swift-log, at level trace.
public struct LoggingTraceSink: TraceSink {
  private let logger: Logger

  /// Logs to `logger`, whose level has to be trace.
  public init(_ logger: Logger) { self.logger = logger }

  /// Logs the event.
  public func record(_ event: TraceEvent) { logger.trace("\(event)") }
}

/// The trace sink of a connection; without one, a trace point costs one comparison.
struct TracePoint: Sendable {
  private let sink: (any TraceSink)?
  /// Kept separately, because reading the sink costs reference counting.
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
