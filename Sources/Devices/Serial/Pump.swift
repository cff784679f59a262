internal import LinuxPrimitives
internal import CLinux
internal import Logging
internal import VFIOUserServer

/// The thread that waits for the far end, and the lock that it shares with register accesses.
///
/// Register accesses do their work directly, including writes to the far end. Only what would block
/// is left to the pump: input, a far end that currently accepts no bytes, connecting clients.
final class Pump: Sendable {
  private let port: Monitor<Port>
  private let wake: EventFD
  private let logger: Logger

  /// How long to wait before accepting a client again when the process had no descriptor left.
  private static let acceptPause: Duration = .milliseconds(100)
  /// How long bytes wait for a driver that does not check whether an interrupt is pending.
  private static let tick: Duration = .milliseconds(1)
  /// How long to wait for the thread to end; it blocks only in its poll.
  private static let farewell: Duration = .seconds(2)

  /// Creates the pump and starts its thread.
  init(_ port: consuming Port, _ logger: Logger) throws(SystemCallError) {
    self.port = Monitor(port)
    self.logger = logger
    wake = try EventFD()
    try DetachedThread.start("serial") { self.run() }
  }

  /// Changes the port and applies the resulting flow control.
  func withPort<Result>(_ body: (inout Port) -> Result) -> Result {
    let (result, mustWake) = port.withLock { port in
      let result = body(&port)
      return (result, port.applyFlowControl())
    }
    if mustWake { wake.signal() }
    return result
  }

  /// Leaves both sides alone until ``resume()``; the thread says when it does.
  func suspend(_ whenDone: @escaping @Sendable () -> Void) {
    let atOnce = port.withLock { $0.suspend(whenDone) }
    wake.signal()
    atOnce?()
  }

  /// Goes on.
  func resume() {
    withPort { $0.resume() }
    wake.signal()
  }

  /// What a suspended port has.
  var record: Port.Record { port.withLock { $0.record } }

  /// Takes over what another port had.
  func load(_ record: Port.Record) throws(StateError) {
    try port.withLock { (port) throws(StateError) in try port.load(record) }
  }

  /// Stops the thread, waits for it to end, and releases the far end.
  func stop() {
    port.withLock { $0.isClosing = true }
    wake.signal()
    _ = port.withLock(when: { $0.hasPumpEnded }, before: .after(Self.farewell)) { _ in }
  }

  private func run() {
    var bytes = [UInt8](repeating: 0, count: Port.inboundCapacity)
    var acceptAfter = Deadline.after(.zero)
    while let plan = port.withLock({ $0.plan() }) {
      plan.whenSuspended?()
      let mayAccept = acceptAfter.hasPassed
      var polled = Self.interests(plan, wake, mayAccept: mayAccept)
      var limit = plan.listener == nil || mayAccept ? Deadline.never : acceptAfter
      if plan.ticks { limit = min(limit, .after(Self.tick)) }
      // Sound: the count is that of the array.
      guard unsafe clinux_poll(&polled, Int32(polled.count), limit.remaining) >= 0 else {
        logger.error("waiting for the far end of the serial port has failed")
        break
      }
      if plan.ticks { withPort { $0.tick() } }
      carryOut(plan, polled, &bytes)
      if let listener = plan.listener, polled[4].happened != 0, !accept(from: listener) {
        acceptAfter = .after(Self.acceptPause)
      }
    }
    port.update { port in
      port.cable.unplug()
      _ = port.applyFlowControl()
      port.hasPumpEnded = true
    }
  }

  private func carryOut(_ plan: Plan, _ polled: [clinux_interest], _ bytes: inout [UInt8]) {
    if polled[0].happened != 0 { _ = wake.take() }
    if let input = plan.input, polled[1].happened != 0 {
      let hungUp = polled[1].happened & Int16(CLINUX_HANGUP) != 0
      read(from: input, &bytes, atMost: plan.room, hungUp: hungUp)
    }
    if polled[2].happened != 0 { withPort { $0.cable.unblock() } }
    if polled[3].happened != 0 { endInput(hungUp: true) }
  }

  /// The descriptors to poll, at the indices used by ``run()`` and ``carryOut(_:_:_:)``.
  private static func interests(
    _ plan: Plan, _ wake: EventFD, mayAccept: Bool
  ) -> [clinux_interest] {
    let listener = mayAccept ? plan.listener?.descriptor.number : nil
    return [
      interest(wake.descriptor.number, CLINUX_READABLE),
      interest(plan.input?.descriptor.number, CLINUX_READABLE),
      interest(plan.output?.descriptor.number, CLINUX_WRITABLE),
      interest(plan.leaving?.descriptor.number, 0),
      interest(listener, CLINUX_READABLE),
    ]
  }

  /// An entry for poll, which ignores negative descriptors.
  private static func interest(_ number: Int32?, _ wanted: Int32) -> clinux_interest {
    clinux_interest(descriptor: number ?? -1, wanted: Int16(wanted), happened: 0)
  }

  /// Reads without holding the lock: a stream shared with other processes might block.
  private func read(
    from input: ByteStream, _ bytes: inout [UInt8], atMost room: Int, hungUp: Bool
  ) {
    switch input.read(into: &bytes, atMost: room) {
    case .moved(let count): withPort { $0.take(bytes[..<count]) }
    case .blocked: break
    case .ended: endInput(hungUp: hungUp)
    }
  }

  private func endInput(hungUp: Bool) {
    let hasLeft = withPort { $0.cable.endInput(hungUp: hungUp) }
    logger.debug("\(hasLeft ? "the serial port's client has left" : "end of serial input")")
  }

  private func accept(from listener: ListeningSocket) -> Bool {
    do {
      let client = ByteStream.socket(try listener.accept())
      withPort { $0.cable.connect(client) }
      logger.debug("a client has connected to the serial port")
      return true
    } catch {
      logger.warning(
        "a client of the serial port was not accepted", metadata: ["error": "\(error)"])
      return false
    }
  }
}
