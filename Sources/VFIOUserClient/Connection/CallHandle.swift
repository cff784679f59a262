internal import LinuxPrimitives
internal import CLinux

/// A command in flight: what waits for its reply, and where the reply is stored.
///
/// Its address is constant for the life of the connection, so that a waiting thread can sleep on `word` and
/// the reading thread can write to it. Everything else is used under the connection's lock.
@safe
struct PendingCall: ~Copyable {
  /// What waits for the reply.
  enum Kind {
    /// Nothing: the entry is free.
    case free
    /// A waiting thread.
    case waiting
    /// A fence, which counts it.
    case fenced(FenceGroup, CommandCompletion?)
    /// A suspended task.
    case async(AsyncCall)
  }

  /// Its index in the table.
  let place: Int32
  fileprivate var word = CallHandle.Signal.awake.rawValue
  fileprivate var kind = Kind.free
  fileprivate var id: UInt16 = 0
  fileprivate var command = Command(rawValue: 0)
  /// Buffers for the reply, owned by the waiting thread, which releases the call before it returns.
  fileprivate var buffers = ReplyBuffers()
  /// Size of the reply's payload, after a valid reply has come.
  fileprivate var received = 0
  /// Why there is no reply; read by the thread that waited.
  fileprivate var failure: ClientError?
  fileprivate var descriptors = DescriptorList()
  /// Links of the list of sleeping threads.
  fileprivate var next: CallHandle?
  fileprivate var previous: CallHandle?

  init(place: Int32) { self.place = place }
}

/// An entry of the call table; used under the lock, and by the thread that waits for the reply.
///
/// Only this type accesses a `PendingCall`: field by field, never as a whole, since the waiting thread reads
/// `word` without the lock.
@safe
struct CallHandle: Equatable {
  /// The values of `word`.
  enum Signal: UInt32 {
    /// The thread reads the socket itself, or does not sleep yet.
    case awake
    /// The thread sleeps.
    case asleep
    /// The reply has come, or the connection is lost.
    case done
    /// The thread has to read the socket.
    case promoted
  }

  // Sound: the table does not move or free an entry before its own end, which is that of the connection, and
  // every user of a handle has a reference to the connection.
  private let call: UnsafeMutablePointer<PendingCall>

  init(_ call: UnsafeMutablePointer<PendingCall>) { unsafe self.call = call }

  static func == (one: CallHandle, other: CallHandle) -> Bool { unsafe one.call == other.call }

  var place: Int32 { unsafe call.pointee.place }
  var id: UInt16 { unsafe call.pointee.id }
  var command: Command { unsafe call.pointee.command }
  var kind: PendingCall.Kind { unsafe call.pointee.kind }

  /// Maximum number of descriptors of the reply.
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

  /// Begins to wait for something other than a reply.
  func begin(_ kind: PendingCall.Kind) {
    unsafe call.pointee.kind = kind
    unsafe call.pointee.received = 0
    signal = .awake
  }

  /// Clears the entry after the call.
  func clear() {
    unsafe call.pointee.kind = .free
    if unsafe call.pointee.failure != nil { unsafe call.pointee.failure = nil }
    unsafe call.pointee.buffers = ReplyBuffers()
  }

  /// Sets the buffers for the reply.
  func lend(_ buffers: ReplyBuffers) { unsafe call.pointee.buffers = buffers }
}

// MARK: The waiting thread

extension CallHandle {
  /// The signal to the waiting thread.
  var signal: Signal {
    get { Signal(rawValue: unsafe clinux_word_load(&call.pointee.word)) ?? .done }
    nonmutating set { unsafe clinux_word_store(&call.pointee.word, newValue.rawValue) }
  }

  var isDone: Bool { signal == .done }

  /// Sleeps until the signal is no longer ``Signal/asleep``, or a spurious wake-up.
  ///
  /// - Returns: false if the time ran out.
  func sleep(before deadline: Deadline) -> Bool {
    unsafe clinux_futex_wait(&call.pointee.word, Signal.asleep.rawValue, deadline.instant) == 0
  }

  /// Sets the signal, and wakes the thread if it sleeps.
  func wake(_ signal: Signal) {
    self.signal = signal
    unsafe clinux_futex_wake_one(&call.pointee.word)
  }

  /// Why there is no reply, if the call failed.
  var failure: ClientError? {
    get { unsafe call.pointee.failure }
    nonmutating set { unsafe call.pointee.failure = newValue }
  }

  var hasFailed: Bool { unsafe call.pointee.failure != nil }

  func takeFailure() -> ClientError? { unsafe call.pointee.failure.take() }

  /// Sets the failure of a call whose time ran out.
  func timeOut() { unsafe call.pointee.failure = .timedOut(command) }

  /// Moves the reply out.
  func takeReply(into reply: inout Reply) {
    reply.count = unsafe call.pointee.received
    guard unsafe !call.pointee.descriptors.isEmpty else { return }
    reply.descriptors = unsafe exchange(&call.pointee.descriptors, with: DescriptorList())
  }

  /// Copies a reply to the buffers of the waiting thread.
  func deliver(_ header: Header, _ payload: Span<UInt8>, _ arrived: inout DescriptorList) {
    let buffers = unsafe call.pointee.buffers
    let check = ReplyCheck(command, limit: buffers.size, descriptorLimit: buffers.descriptorLimit)
    if let failure = check.failure(of: header, payload, arrived) {
      unsafe call.pointee.failure = failure
      return
    }
    // The buffers are valid while the lock is held.
    buffers.fill(with: payload)
    unsafe call.pointee.received = payload.count
    // The thread's time may have run out a moment ago.
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
