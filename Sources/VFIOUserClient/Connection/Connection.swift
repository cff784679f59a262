internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

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
@safe
final class Connection: @unchecked Sendable {
  struct State: ~Copyable {
    var calls = PendingCalls()
    var outbox = Outbox()
    /// Posted writes that wait to be sent in one message while the socket is full.
    var coalesced: [RegionWrite] = []
    /// Why the connection is lost; nil while it is not.
    var failure: StreamError?
    /// Whether the server takes no more: what it sent before is still read, then the connection is lost.
    var isServerGone = false
    var hasReader = false
    /// The sleeping threads, first to last.
    var firstAsleep: Int32 = -1
    var lastAsleep: Int32 = -1
    /// What wants a background reader besides a full outbox: registered memory, handlers, and so on.
    var backgroundUsers = 0
    /// Whether registered memory is one of them.
    var servesMemory = false
    /// Whether the socket is in the set of the background reader.
    var isWatched = false
    /// What the background reader is watching for: CLINUX_READABLE, CLINUX_WRITABLE.
    var armed: Int32 = 0
    /// Whether it looks now and then instead.
    var adaptivePolling = AdaptivePolling()
    /// When a message that has begun has to be complete, while nobody reads.
    var messageDue = Deadline.never
    /// Who hears of late replies, by the id of a command that was given up.
    var lateCompletions: [UInt16: CommandCompletion] = [:]
    var asyncCalls: [ObjectIdentifier: Int32] = [:]
    /// Requests of the server that wait for the handler.
    var requests = RequestQueue()
    /// Threads of ours that have not ended.
    var threads = 0
    /// Hears of the loss, once, under the lock: it must only take a note.
    var onLoss: (@Sendable (StreamError) -> Void)?
    /// The connection for the server's commands, which ends with this one.
    var twin: Connection?
    /// Hears that nothing can be sent any more when the loss is still to come; as ``onLoss``.
    var onServerGone: (@Sendable () -> Void)?
    /// Whether posted writes are collected into WRITE_MULTI.
    var mayCoalesce = false
  }

  let socket: MessageSocket
  let state: Monitor<State>
  let timeout: Duration
  private let timeoutInNanoseconds: UInt64
  /// Whether a plain receive ends, by itself, well before a deadline that was just set.
  let hasFarDeadline: Bool
  let trace: TracePoint
  let service: MemoryService
  let handler: RequestHandler?
  // Sound: touched only by the thread that holds the role of the reader; the role changes hands under
  // the lock.
  let receiver: UnsafeMutablePointer<FrameReceiver>
  /// Watches the socket for the background reader.
  let oneshot: OwnedDescriptor
  /// Has the background reader look again: at deadlines, and whether the connection is lost.
  let wake: EventFD
  /// What is mapped of the device's regions.
  let mappedRegions = MappedRegions()
  /// Whether ``failure`` is set, for those who ask often.
  let isLost = Atomic<Bool>(false)
  /// Whether the connection is lost whose twin this is: no request is served any more.
  private let isLeftAlone = Atomic<Bool>(false)

  /// Most bytes that wait for a full socket before a posted write waits as well.
  static let backlogLimit = 1 << 20
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
    self.timeout = timeout
    timeoutInNanoseconds = Deadline.nanoseconds(timeout)
    hasFarDeadline = timeout >= Self.receiveSlice * 4
    self.trace = trace
    self.service = service
    self.handler = handler
    let number = socket.descriptor.number
    _ = try checked(
      "setsockopt(SO_RCVTIMEO)", clinux_set_receive_timeout(number, 250_000_000))
    oneshot = OwnedDescriptor(
      adopting: try checked("epoll_create1", clinux_oneshot_create()))
    wake = try EventFD()
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

  /// When a call that starts now has to be done.
  func deadline(_ timeout: Duration?) -> Deadline {
    if let timeout { return .after(timeout) }
    return .after(nanoseconds: timeoutInNanoseconds)
  }

  /// Raises the limit of what is received, once both sides agreed and before anything else is sent.
  func setMessageLimit(_ limit: Int) {
    // For a server that asks before it answers, the background may read already; never for long.
    while !setLimit(limit) { sched_yield() }
  }

  private func setLimit(_ limit: Int) -> Bool {
    state.withLock { state in
      guard state.failure == nil else { return true }
      guard !state.hasReader else { return false }
      unsafe receiver.pointee.assembler.messageLimit = limit
      return true
    }
  }

  /// Has somebody hear of the loss of the connection; at once if it is lost already.
  func onLoss(_ hear: @escaping @Sendable (StreamError) -> Void) {
    let failure = state.withLock { state in
      state.onLoss = hear
      return state.failure
    }
    if let failure { hear(failure) }
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

  /// Has somebody hear that nothing can be sent any more although the connection is not lost yet; at once
  /// if that is so already.
  func onServerGone(_ hear: @escaping @Sendable () -> Void) {
    let isGone = state.withLock { state in
      state.onServerGone = hear
      return state.isServerGone
    }
    if isGone { hear() }
  }

  /// Ends the connection because its twin is lost, or from outside.
  ///
  /// A main connection is ended under the lock of its twin, never a twin under that of the main one.
  func end(_ failure: StreamError) {
    state.update { state in
      if state.failure == nil { lose(&state, failure) }
    }
  }

  /// Why the connection is lost, nil while it is not.
  var failure: StreamError? { state.withLock { $0.failure } }
  /// Why nothing can be sent, nil while it can.
  var sendFailure: StreamError? { state.withLock { $0.sendFailure } }
}

extension Connection.State {
  /// Why nothing can be sent, nil while it can.
  var sendFailure: StreamError? { failure ?? (isServerGone ? .closedByPeer : nil) }
  /// Whether the socket has to be read although nobody waits for a reply.
  ///
  /// While messages wait, what the server sends is read in any case: it may be waiting as well.
  var needsReader: Bool { backgroundUsers > 0 || !outbox.isEmpty || isServerGone }
  /// Whether it is enough to look now and then: nobody but callers waits for what may come.
  var isGlancedAt: Bool {
    adaptivePolling.areOn && outbox.isEmpty && asyncCalls.isEmpty && !isServerGone
  }
}
