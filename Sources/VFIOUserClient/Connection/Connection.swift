internal import VFIOUserTransport
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The message infrastructure of a client: commands out, replies and requests in.
///
/// **The reading caller.** One thread at a time reads the socket: a caller that waits for a reply, if
/// nobody reads. It hands out the replies of others, and when its own has come it passes the role on,
/// under the lock, to another thread that waits, else to nobody, or to the background reader, which
/// exists only while something needs it: registered memory, a handler, an async call, a fence, or
/// messages that the socket did not take; ``AdaptivePolling`` says how it is called. So a lone call costs one
/// send and one receive and no wake-up of another thread, which would take longer than the whole round
/// trip.
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
  /// How long a command may take, unless its caller says otherwise.
  private let usualNanoseconds: UInt64
  /// Whether a plain receive ends, by itself, well before a deadline of the usual time.
  let isUsualFar: Bool
  let trace: TracePoint
  let service: MemoryService
  let handler: RequestHandler?
  // Sound: touched only by the thread that holds the role of the reader; the role changes hands under
  // the lock.
  let receiver: UnsafeMutablePointer<FrameReceiver>
  /// Watches the socket for the background reader.
  let watch: SocketWatch
  /// Whether ``failure`` is set, for those who ask often.
  let isLost = Atomic<Bool>(false)
  /// Whether the connection is lost whose twin this is: no request is served any more.
  private let isLeftAlone = Atomic<Bool>(false)

  /// Most bytes of answers that wait for a server that asks and does not read.
  var answerLimit: Int { (16 << 20) + 2 * Int(service.maxTransfer) }
  /// Most ids that are reserved for late replies.
  static let abandonedLimit = 1024
  /// Most reads of the background reader before it looks at deadlines.
  static let maxReads = 64
  /// How long a plain receive waits before it looks at its deadline.
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

  /// When a command that starts now has to be answered, unless its caller says otherwise.
  var usualDeadline: Deadline { .after(nanoseconds: usualNanoseconds) }

  /// The same for a command that has to be answered before a deadline in any case.
  func usualDeadline(atMost deadline: Deadline) -> Deadline { min(usualDeadline, deadline) }
}

// MARK: Set-up

extension Connection {
  /// Raises the limit of what is received, once both sides agreed and before anything else is sent.
  func setMessageLimit(_ limit: Int) {
    // For a server that asks before it answers, the background may read already; never for long.
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

  /// Takes what both sides agreed on.
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

  /// Reads all the time from now on, also while nobody waits.
  func readInBackground() throws(ClientError) {
    try state.update { state throws(ClientError) in try addBackgroundUser(&state) }
  }
}

// MARK: Loss

extension Connection {
  /// Why the connection is lost, nil while it is not.
  var failure: StreamError? { state.withLock { $0.failure } }
  /// Why nothing can be sent, nil while it can.
  var sendFailure: StreamError? { state.withLock { $0.sendFailure } }

  /// Registers a handler for the loss of the connection; called at once if it is lost already.
  func onLoss(_ hear: @escaping @Sendable (StreamError) -> Void) {
    let failure = state.withLock { state in
      state.observers.onLoss = hear
      return state.failure
    }
    if let failure { hear(failure) }
  }

  /// Registers a handler for the moment from which nothing can be sent any more although the connection is
  /// not lost yet; called at once if that is so already.
  func onServerGone(_ hear: @escaping @Sendable () -> Void) {
    let isGone = state.withLock { state in
      state.observers.onServerGone = hear
      return state.isServerGone
    }
    if isGone { hear() }
  }

  /// The connection is lost whose twin this is; called under the lock of that one.
  ///
  /// What has come already is not served; the reader ends this one when it finds the end.
  func leaveAlone() {
    isLeftAlone.store(true, ordering: .releasing)
    socket.shutdown()
  }

  /// Whether requests are served.
  var serves: Bool { !isLeftAlone.load(ordering: .acquiring) }

  /// Ends the connection because its twin is lost, or from outside.
  ///
  /// A main connection is ended under the lock of its twin, never a twin under that of the main one.
  func end(_ failure: StreamError) {
    state.update { state in
      if !state.isLost { lose(&state, failure) }
    }
  }

  /// Ends the connection.
  ///
  /// Everybody who waits hears of it; when this returns, no thread of the connection is left, so none of
  /// them may call it.
  func disconnect() {
    end(.closedByUs)
    _ = state.withLock(when: { $0.hasNoThreads }) { _ in }
  }

  /// Whether it is lost and no thread of it is left.
  var hasEnded: Bool { state.withLock { $0.isLost && $0.hasNoThreads } }
}
