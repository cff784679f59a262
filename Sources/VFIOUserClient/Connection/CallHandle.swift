internal import LinuxPrimitives
internal import CLinux

/// A command on its way: who waits for its reply, how, and where the reply goes.
///
/// Its place in memory stays the same for the life of the connection, so that a waiting thread can
/// sleep on `word` and the reading thread can write to it. All else is touched under the connection's
/// lock.
@safe
struct PendingCall: ~Copyable {
  /// Who gets the reply.
  enum Kind {
    /// Nobody: the place is free.
    case free
    /// A thread that waits.
    case waiting
    /// Nobody in particular; a fence counts it.
    case fenced(FenceGroup, CommandCompletion?)
    /// A task that was suspended.
    case async(AsyncCall)
  }

  /// Its number in the table.
  let place: Int32
  fileprivate var word = CallHandle.Signal.awake.rawValue
  fileprivate var kind = Kind.free
  fileprivate var id: UInt16 = 0
  fileprivate var command = Command(rawValue: 0)
  /// Where the reply goes, lent by the waiting thread, which does not return before it has taken the call
  /// back.
  fileprivate var buffers = ReplyBuffers()
  /// Bytes of the reply's payload, when it has come and nothing is wrong with it.
  fileprivate var received = 0
  /// Why there is no reply; taken by the thread that waited.
  fileprivate var failure: ClientError?
  fileprivate var descriptors = DescriptorList()
  /// Neighbours in the list of sleeping threads.
  fileprivate var next: CallHandle?
  fileprivate var previous: CallHandle?

  init(place: Int32) { self.place = place }
}

/// A place of the table, for those who hold the lock, and for the thread that waits for its reply.
///
/// The one type that touches a `PendingCall`: field by field, never as a whole, since the waiting thread
/// looks at the word without the lock.
@safe
struct CallHandle: Equatable {
  /// What a waiting thread sees in the word.
  enum Signal: UInt32 {
    /// The thread reads the socket itself, or has not gone to sleep.
    case awake
    /// The thread sleeps.
    case asleep
    /// The reply is there, or the connection is lost.
    case done
    /// The thread is to read the socket.
    case promoted
  }

  // Sound: the table neither moves nor frees a place before it is gone itself, with the connection, which
  // everybody who has a handle holds.
  private let call: UnsafeMutablePointer<PendingCall>

  init(_ call: UnsafeMutablePointer<PendingCall>) { unsafe self.call = call }

  static func == (one: CallHandle, other: CallHandle) -> Bool { unsafe one.call == other.call }

  var place: Int32 { unsafe call.pointee.place }
  var id: UInt16 { unsafe call.pointee.id }
  var command: Command { unsafe call.pointee.command }
  var kind: PendingCall.Kind { unsafe call.pointee.kind }

  /// Most descriptors that the reply may bring.
  var descriptorLimit: Int {
    get { unsafe call.pointee.buffers.descriptorLimit }
    nonmutating set { unsafe call.pointee.buffers.descriptorLimit = newValue }
  }

  /// Begins to wait for the reply to a command.
  func begin(_ id: UInt16, _ command: Command, _ kind: PendingCall.Kind) {
    unsafe call.pointee.id = id
    unsafe call.pointee.command = command
    unsafe call.pointee.buffers.descriptorLimit = 0
    begin(kind)
  }

  /// Begins to wait for something else than a reply.
  func begin(_ kind: PendingCall.Kind) {
    unsafe call.pointee.kind = kind
    unsafe call.pointee.received = 0
    signal = .awake
  }

  /// Forgets everything of the call that is over.
  func clear() {
    unsafe call.pointee.kind = .free
    if unsafe call.pointee.failure != nil { unsafe call.pointee.failure = nil }
    unsafe call.pointee.buffers = ReplyBuffers()
  }

  /// Where the reply goes.
  func lend(_ buffers: ReplyBuffers) { unsafe call.pointee.buffers = buffers }
}

// MARK: The waiting thread

extension CallHandle {
  /// What the waiting thread is told.
  var signal: Signal {
    get { Signal(rawValue: unsafe clinux_word_load(&call.pointee.word)) ?? .done }
    nonmutating set { unsafe clinux_word_store(&call.pointee.word, newValue.rawValue) }
  }

  var isDone: Bool { signal == .done }

  /// Sleeps until the signal is no longer ``Signal/asleep``, or a spurious wake-up.
  ///
  /// - Returns: false when the time is up.
  func sleep(before deadline: Deadline) -> Bool {
    unsafe clinux_futex_wait(&call.pointee.word, Signal.asleep.rawValue, deadline.instant) == 0
  }

  /// Tells the thread something for which it may be asleep.
  func wake(_ signal: Signal) {
    self.signal = signal
    unsafe clinux_futex_wake_one(&call.pointee.word)
  }

  /// Why there is no reply.
  var failure: ClientError? {
    get { unsafe call.pointee.failure }
    nonmutating set { unsafe call.pointee.failure = newValue }
  }

  var hasFailed: Bool { unsafe call.pointee.failure != nil }

  func takeFailure() -> ClientError? { unsafe call.pointee.failure.take() }

  /// Nobody waits any longer.
  func timeOut() { unsafe call.pointee.failure = .timedOut(command) }

  /// Takes the reply out.
  func takeReply(into reply: inout Reply) {
    reply.count = unsafe call.pointee.received
    guard unsafe !call.pointee.descriptors.isEmpty else { return }
    reply.descriptors = unsafe exchange(&call.pointee.descriptors, with: DescriptorList())
  }

  /// Takes a reply over into the buffers of the thread that waits for it.
  func deliver(_ header: Header, _ payload: Span<UInt8>, _ arrived: inout DescriptorList) {
    let buffers = unsafe call.pointee.buffers
    let check = ReplyCheck(command, limit: buffers.size, descriptorLimit: buffers.descriptorLimit)
    if let failure = check.failure(of: header, payload, arrived) {
      unsafe call.pointee.failure = failure
      return
    }
    // The buffers are lent by the thread that waits, until the lock that is held here is released.
    buffers.fill(with: payload)
    unsafe call.pointee.received = payload.count
    // The thread may have given up a moment ago and not have said so yet.
    if hasFailed { unsafe call.pointee.failure = nil }
    if !arrived.isEmpty {
      unsafe call.pointee.descriptors = exchange(&arrived, with: DescriptorList())
    }
  }
}

// MARK: The list of sleeping threads

extension CallHandle {
  var next: CallHandle? {
    get { unsafe call.pointee.next }
    nonmutating set { unsafe call.pointee.next = newValue }
  }

  var previous: CallHandle? {
    get { unsafe call.pointee.previous }
    nonmutating set { unsafe call.pointee.previous = newValue }
  }
}
