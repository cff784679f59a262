internal import CLinux
internal import VFIOUserProtocol
internal import VFIOUserTransport

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

  /// What a waiting thread sees in `word`.
  enum Signal {
    /// The thread reads the socket itself, or has not gone to sleep.
    static let awake: UInt32 = 0
    /// The thread sleeps.
    static let asleep: UInt32 = 1
    /// The reply is there, or the connection is lost.
    static let done: UInt32 = 2
    /// The thread is to read the socket.
    static let promoted: UInt32 = 3
  }

  var word: UInt32 = Signal.awake
  var kind = Kind.free
  var id: UInt16 = 0
  var command = Command(rawValue: 0)
  /// Most descriptors that the reply may bring.
  var descriptorLimit = 0
  /// Where the fixed part of the reply goes, and where what follows it.
  ///
  /// Lent by the waiting thread, which does not return before it has taken the call back.
  var fixed = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  var data = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// Bytes of the reply's payload, when it has come and nothing is wrong with it.
  var received = 0
  /// Why there is no reply; taken by the thread that waited.
  var failure: ClientError?
  var descriptors = DescriptorList()
  /// Neighbours in the list of sleeping threads; -1 for none.
  var next: Int32 = -1
  var previous: Int32 = -1
}

/// The places for pending calls of a connection, made in blocks and used again and again.
@safe
struct PendingCalls: ~Copyable {
  static let blockSize = 64
  /// What an id without a call leads to.
  private static let nobody: Int32 = 0
  /// What the id of a call that was given up leads to, until its late reply has come.
  private static let abandoned: Int32 = -1
  /// The id of every posted message, which no call ever gets: a server that answers a post, which it
  /// must not, answers nobody.
  static let posted: UInt16 = 0
  /// All other ids in flight at once.
  static let most = Int(UInt16.max)

  // Sound: blocks are never freed or moved before deinit; an index below `count` is inside of one.
  private var blocks: [UnsafeMutablePointer<PendingCall>] = unsafe []
  private var free: [Int32] = []
  private(set) var count = 0
  /// By id: the index of its call plus one.
  ///
  /// Wider than an id, since threads at a fence take places as well.
  private var byID: UnsafeMutablePointer<Int32>
  /// Where to look for the next free id.
  private var nextID = Self.posted + 1
  private(set) var inFlight = 0
  private(set) var abandonedCount = 0

  init() {
    unsafe byID = .allocate(capacity: 1 << 16)
    unsafe byID.initialize(repeating: Self.nobody, count: 1 << 16)
  }

  deinit {
    for place in unsafe blocks.indices {
      unsafe blocks[place].deinitialize(count: Self.blockSize)
      unsafe blocks[place].deallocate()
    }
    unsafe byID.deallocate()
  }

  /// The call at an index.
  ///
  /// The pointer stays good for the life of the connection.
  func call(_ index: Int32) -> UnsafeMutablePointer<PendingCall> {
    let place = Int(index)
    return unsafe blocks[place / Self.blockSize] + place % Self.blockSize
  }

  /// Takes a free place and an id that is neither in flight nor abandoned.
  ///
  /// - Returns: nil when there are too many in flight.
  mutating func begin(_ command: Command, _ kind: PendingCall.Kind) -> Int32? {
    guard inFlight + abandonedCount < Self.most else { return nil }
    if free.isEmpty { addBlock() }
    let index = free.removeLast()
    let call = unsafe call(index)
    unsafe call.pointee.id = takeID(for: index)
    unsafe call.pointee.command = command
    unsafe call.pointee.kind = kind
    unsafe call.pointee.received = 0
    unsafe call.pointee.descriptorLimit = 0
    unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.awake)
    inFlight += 1
    return index
  }

  /// The next free id; there is one, since fewer than ``most`` are taken.
  private mutating func takeID(for index: Int32) -> UInt16 {
    while unsafe nextID == Self.posted || byID[Int(nextID)] != Self.nobody { nextID &+= 1 }
    defer { nextID &+= 1 }
    unsafe byID[Int(nextID)] = index + 1
    return nextID
  }

  /// Takes a free place for a thread that waits for something else than a reply.
  mutating func beginWithoutID() -> Int32 {
    if free.isEmpty { addBlock() }
    let index = free.removeLast()
    let call = unsafe call(index)
    unsafe call.pointee.kind = .waiting
    unsafe call.pointee.received = 0
    unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.awake)
    return index
  }

  /// What an id of a reply leads to.
  enum Match {
    case call(Int32)
    /// The reply comes too late; the id is free again.
    case late
    case unknown
  }

  /// Finds the call of a reply.
  mutating func match(_ id: UInt16) -> Match {
    switch unsafe byID[Int(id)] {
    case Self.nobody: return .unknown
    case Self.abandoned:
      unsafe byID[Int(id)] = Self.nobody
      abandonedCount -= 1
      return .late
    case let entry: return .call(entry - 1)
    }
  }

  /// The reply has come: the id is free.
  ///
  /// The place stays taken until ``release(_:)``.
  mutating func answered(_ index: Int32) {
    unsafe byID[Int(call(index).pointee.id)] = Self.nobody
    inFlight -= 1
  }

  /// Nobody waits any more, but the reply may come: the id stays reserved until then.
  mutating func abandon(_ index: Int32) {
    unsafe byID[Int(call(index).pointee.id)] = Self.abandoned
    inFlight -= 1
    abandonedCount += 1
    release(index)
  }

  /// Gives a place back.
  mutating func release(_ index: Int32) {
    let call = unsafe call(index)
    unsafe call.pointee.kind = .free
    if unsafe call.pointee.failure != nil { unsafe call.pointee.failure = nil }
    unsafe call.pointee.fixed = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    unsafe call.pointee.data = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    free.append(index)
  }

  private mutating func addBlock() {
    let block = UnsafeMutablePointer<PendingCall>.allocate(capacity: Self.blockSize)
    for place in 0..<Self.blockSize { unsafe (block + place).initialize(to: PendingCall()) }
    unsafe blocks.append(block)
    for place in (0..<Self.blockSize).reversed() { free.append(Int32(count + place)) }
    count += Self.blockSize
  }
}
