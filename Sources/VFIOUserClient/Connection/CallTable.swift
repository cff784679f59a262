internal import LinuxPrimitives

/// The calls of a connection by id.
///
/// Their places are made in blocks and used again and again.
@safe
struct CallTable: ~Copyable {
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

  // Sound: blocks are never freed or moved before deinit; a place below `count` is inside of one.
  private var blocks: [UnsafeMutablePointer<PendingCall>] = unsafe []
  private var free: [Int32] = []
  private(set) var count = 0
  /// By id: the place of its call plus one.
  ///
  /// Wider than an id, since threads at a fence take places as well.
  private var byID: UnsafeMutablePointer<Int32>
  /// Where to look for the next free id.
  private var nextID = Self.posted + 1
  private(set) var inFlight = 0
  private(set) var abandonedCount = 0
  /// The calls of tasks, which the background ends when their time is up.
  private var ofTasks: [ObjectIdentifier: CallHandle] = [:]
  /// Who hears of late replies, by the id of a command that was given up.
  private var lateCompletions: [UInt16: CommandCompletion] = [:]

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

  /// The call at a place, which stays there for the life of the table.
  subscript(place: Int32) -> CallHandle {
    let place = Int(place)
    return unsafe CallHandle(blocks[place / Self.blockSize] + place % Self.blockSize)
  }

  /// Takes a free place and an id that is neither in flight nor abandoned.
  ///
  /// - Returns: nil when there are too many in flight.
  mutating func begin(_ command: Command, _ kind: PendingCall.Kind) -> CallHandle? {
    guard inFlight + abandonedCount < Self.most else { return nil }
    let call = takePlace()
    call.begin(takeID(for: call), command, kind)
    inFlight += 1
    return call
  }

  /// Takes a free place for somebody who waits for something else than a reply.
  mutating func beginWithoutID(_ kind: PendingCall.Kind = .waiting) -> CallHandle {
    let call = takePlace()
    call.begin(kind)
    return call
  }

  private mutating func takePlace() -> CallHandle {
    if free.isEmpty { addBlock() }
    return self[free.removeLast()]
  }

  /// The next free id; there is one, since fewer than ``most`` are taken.
  private mutating func takeID(for call: CallHandle) -> UInt16 {
    while unsafe nextID == Self.posted || byID[Int(nextID)] != Self.nobody { nextID &+= 1 }
    defer { nextID &+= 1 }
    unsafe byID[Int(nextID)] = call.place + 1
    return nextID
  }

  /// What an id of a reply leads to.
  enum Match {
    case call(CallHandle)
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
    case let entry: return .call(self[entry - 1])
    }
  }

  /// The reply has come: the id is free.
  ///
  /// The place stays taken until ``release(_:)``.
  mutating func answered(_ call: CallHandle) {
    unsafe byID[Int(call.id)] = Self.nobody
    inFlight -= 1
  }

  /// Nobody waits any more, but the reply may come: the id stays reserved until then.
  mutating func abandon(_ call: CallHandle) {
    unsafe byID[Int(call.id)] = Self.abandoned
    inFlight -= 1
    abandonedCount += 1
    release(call)
  }

  /// Gives a place back.
  mutating func release(_ call: CallHandle) {
    call.clear()
    free.append(call.place)
  }

  private mutating func addBlock() {
    let block = UnsafeMutablePointer<PendingCall>.allocate(capacity: Self.blockSize)
    for place in 0..<Self.blockSize {
      unsafe (block + place).initialize(to: PendingCall(place: Int32(count + place)))
    }
    unsafe blocks.append(block)
    for place in (0..<Self.blockSize).reversed() { free.append(Int32(count + place)) }
    count += Self.blockSize
  }
}

// MARK: Tasks and late replies

extension CallTable {
  var hasTasks: Bool { !ofTasks.isEmpty }

  /// The calls of tasks.
  var tasks: [CallHandle] { Array(ofTasks.values) }

  /// From now on a task waits for a call.
  mutating func add(_ task: AsyncCall, _ call: CallHandle) {
    ofTasks[ObjectIdentifier(task)] = call
  }

  /// The call for which a task waits, nil when it does not wait any more.
  func call(of task: AsyncCall) -> CallHandle? { ofTasks[ObjectIdentifier(task)] }

  /// A task waits no longer.
  ///
  /// - Returns: whether it did.
  mutating func remove(_ task: AsyncCall) -> Bool {
    ofTasks.removeValue(forKey: ObjectIdentifier(task)) != nil
  }

  /// When the first call of a task runs out of time.
  var earliestDeadline: Deadline {
    ofTasks.values.reduce(.never) { earliest, call in
      guard case .async(let pending) = call.kind else { return earliest }
      return min(earliest, pending.deadline)
    }
  }

  /// Has somebody hear of the late reply to a call that is being given up.
  mutating func keep(_ completion: @escaping CommandCompletion, of call: CallHandle) {
    lateCompletions[call.id] = completion
  }

  /// Who hears of a late reply.
  mutating func takeLateCompletion(_ id: UInt16) -> CommandCompletion? {
    lateCompletions.removeValue(forKey: id)
  }

  var keepsNoLateCompletion: Bool { lateCompletions.isEmpty }

  mutating func forgetLateCompletions() { lateCompletions.removeAll() }
}
