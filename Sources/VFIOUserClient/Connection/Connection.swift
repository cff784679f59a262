internal import VFIOUserTransport
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// A connection of a client: sends commands, receives replies and requests.
///
/// **The reading caller.** One thread at a time reads the socket: the first caller that waits for a reply. It
/// delivers the replies of other callers. When its own has come, it passes the role, under the lock, to
/// another waiting caller, or else to the background reader. That exists only while it is needed: for
/// registered memory, a handler, an async call, a fence, or messages that the socket did not take; see
/// ``AdaptivePolling``. So a single call costs one send and one receive, and wakes no other thread, which
/// would take longer than the round trip.
///
/// | state | guarded by |
/// |---|---|
/// | `State` | the lock |
/// | `receiver` | holding the role of the reader |
/// | a waiting thread's reply buffers | the thread does not return before it has taken its call back, under the lock |
/// | a `LargeMessage` | the thread that makes it, then the lock |
@safe
final class Connection: @unchecked Sendable {
  let socket: MessageSocket
  let state: Monitor<State>
  /// The default timeout of a command.
  private let usualNanoseconds: UInt64
  /// Whether the default timeout is much longer than ``receiveSlice``.
  let isUsualFar: Bool
  let trace: TracePoint
  let service: MemoryService
  let handler: RequestHandler?
  // Sound: used only by the thread that has the reader's role; the role is passed under the lock.
  let receiver: UnsafeMutablePointer<FrameReceiver>
  /// Watches the socket for the background reader.
  let watch: SocketWatch
  /// Whether ``failure`` is set; readable without the lock.
  let isLost = Atomic<Bool>(false)
  /// For a twin connection: whether the main connection is lost, so that no request is served any more.
  private let isLeftAlone = Atomic<Bool>(false)

  /// Maximum number of bytes of answers that wait for the socket.
  var answerLimit: Int { (16 << 20) + 2 * Int(service.maxTransfer) }
  /// Maximum number of IDs that are reserved for late replies.
  static let abandonedLimit = 1024
  /// Maximum number of reads of the background reader before it checks deadlines.
  static let maxReads = 64
  /// Maximum time of one receive, after which the deadline is checked.
  static let receiveSlice = Duration.milliseconds(250)

  init(
    _ socket: MessageSocket, timeout: Duration, messageTimeout: Duration, requestLimit: Int,
    service: MemoryService, handler: RequestHandler?, trace: TracePoint
  ) throws(SystemCallError) {
    self.socket = socket
    usualNanoseconds = Deadline.nanoseconds(timeout)
    isUsualFar = timeout >= Self.receiveSlice * 4
    self.trace = trace
    self.service = service
    self.handler = handler
    let number = socket.descriptor.number
    _ = try checked(
      "setsockopt(SO_RCVTIMEO)", clinux_set_receive_timeout(number, 250_000_000))
    watch = try SocketWatch()
    unsafe receiver = .allocate(capacity: 1)
    unsafe receiver.initialize(
      to: FrameReceiver(
        socket: socket,
        assembler: FrameAssembler(
          messageLimit: Limits.messageBeforeNegotiation,
          descriptorLimit: Limits.kernelMessageDescriptors),
        messageTimeout: messageTimeout))
    var initial = State()
    initial.requests.limit = requestLimit
    state = Monitor(initial)
  }

  deinit {
    unsafe receiver.deinitialize(count: 1)
    unsafe receiver.deallocate()
  }

  /// The default deadline of a command that starts now.
  var usualDeadline: Deadline { .after(nanoseconds: usualNanoseconds) }

  /// As ``usualDeadline``, up to a few ticks of the kernel's clock later; costs a third.
  var roughUsualDeadline: Deadline { .roughlyAfter(nanoseconds: usualNanoseconds) }

  /// The default deadline, or `deadline` if that is earlier.
  func usualDeadline(atMost deadline: Deadline) -> Deadline { min(usualDeadline, deadline) }
}

// MARK: Set-up

extension Connection {
  /// Sets the maximum size of received messages, after the negotiation and before the next message is sent.
  func setMessageLimit(_ limit: Int) {
    // The background reader may be reading already, for a short time.
    while !setLimit(limit) { sched_yield() }
  }

  private func setLimit(_ limit: Int) -> Bool {
    state.withLock { state in
      guard !state.isLost else { return true }
      guard !state.reader.isTaken else { return false }
      unsafe receiver.pointee.assembler.messageLimit = limit
      return true
    }
  }

  /// Applies the result of the negotiation.
  ///
  /// - Parameters:
  ///   - collects: whether posted writes are collected into WRITE_MULTI.
  ///   - twin: the connection for the server's commands, which ends with this one.
  func setUp(collects: Bool, twin: Connection?) throws(ClientError) {
    try state.update { state throws(ClientError) in
      state.sending.collects = collects
      if state.isLost { twin?.leaveAlone() } else { state.observers.twin = twin }
      if handler != nil { try addBackgroundUser(&state) }
    }
  }

  /// Starts the background reader for good.
  func readInBackground() throws(ClientError) {
    try state.update { state throws(ClientError) in try addBackgroundUser(&state) }
  }
}

// MARK: Loss

extension Connection {
  /// Why the connection was lost, nil if it is not lost.
  var failure: StreamError? { state.withLock { $0.failure } }
  /// Why nothing can be sent, nil if sending is possible.
  var sendFailure: StreamError? { state.withLock { $0.sendFailure } }

  /// Registers a handler for the loss of the connection; called immediately if it is lost already.
  func onLoss(_ hear: @escaping @Sendable (StreamError) -> Void) {
    let failure = state.withLock { state in
      state.observers.onLoss = hear
      return state.failure
    }
    if let failure { hear(failure) }
  }

  /// Registers a handler that is called when nothing can be sent any more although the connection is not lost
  /// yet; called immediately if that is so already.
  func onServerGone(_ hear: @escaping @Sendable () -> Void) {
    let isGone = state.withLock { state in
      state.observers.onServerGone = hear
      return state.isServerGone
    }
    if isGone { hear() }
  }

  /// For a twin connection: stops serving requests, because the main connection is lost; called under that
  /// connection's lock.
  ///
  /// Received requests are not served; the reader ends this connection when it reads the end of the stream.
  func leaveAlone() {
    isLeftAlone.store(true, ordering: .releasing)
    socket.shutdown()
  }

  /// Whether requests are served.
  var serves: Bool { !isLeftAlone.load(ordering: .acquiring) }

  /// Ends the connection because its twin is lost, or on request.
  ///
  /// A main connection is ended under the lock of its twin; never the reverse.
  func end(_ failure: StreamError) {
    state.update { state in
      if !state.isLost { lose(&state, failure) }
    }
  }

  /// Ends the connection.
  ///
  /// Every waiting caller gets an error. When this returns, all threads of the connection have ended, so none
  /// of them may call it.
  func disconnect() {
    end(.closedByUs)
    _ = state.withLock(when: { $0.hasNoThreads }) { _ in }
  }

  /// Whether it is lost and all its threads have ended.
  var hasEnded: Bool { state.withLock { $0.isLost && $0.hasNoThreads } }
}
