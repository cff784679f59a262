internal import LinuxPrimitives

/// The calls of a connection by message ID.
///
/// Entries are allocated in blocks and reused.
@safe
struct CallTable: ~Copyable {
  static let blockSize = 64
  /// The value of an ID without a call.
  private static let nobody: Int32 = 0
  /// The value of the ID of a call that was given up, until its late reply has come.
  private static let abandoned: Int32 = -1
  /// The ID of every posted message; no call gets it, so a reply to a posted message, which is an error,
  /// matches no call.
  static let posted: UInt16 = 0
  /// Maximum number of other IDs in flight.
  static let most = Int(UInt16.max)

  // Sound: blocks are never freed or moved before deinit; an entry below `count` lies in one.
  private var blocks: [UnsafeMutablePointer<PendingCall>] = unsafe []
  private var free: [Int32] = []
  private(set) var count = 0
  /// By ID: the index of its call plus one.
  ///
  /// Wider than an ID, since threads at a fence have entries too.
  private var byID: UnsafeMutablePointer<Int32>
  /// Where the search for the next free ID begins.
  private var nextID = Self.posted + 1
  private(set) var inFlight = 0
  private(set) var abandonedCount = 0
  /// The async calls, which the background reader ends at their deadlines.
  private var ofTasks: [ObjectIdentifier: CallHandle] = [:]
  /// The closures for late replies, by the ID of a command that was given up.
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

  /// The call with an index, which has this address for the life of the table.
  subscript(place: Int32) -> CallHandle {
    let place = Int(place)
    return unsafe CallHandle(blocks[place / Self.blockSize] + place % Self.blockSize)
  }

  /// Takes a free entry and an ID that is neither in flight nor abandoned.
  ///
  /// - Returns: nil if too many are in flight.
  mutating func begin(_ command: Command, _ kind: PendingCall.Kind) -> CallHandle? {
    guard inFlight + abandonedCount < Self.most else { return nil }
    let call = takePlace()
    call.begin(takeID(for: call), command, kind)
    inFlight += 1
    return call
  }

  /// Takes a free entry without an ID, to wait for something other than a reply.
  mutating func beginWithoutID(_ kind: PendingCall.Kind = .waiting) -> CallHandle {
    let call = takePlace()
    call.begin(kind)
    return call
  }

  private mutating func takePlace() -> CallHandle {
    if free.isEmpty { addBlock() }
    return self[free.removeLast()]
  }

  /// The next free ID; there is one, since fewer than ``most`` are taken.
  private mutating func takeID(for call: CallHandle) -> UInt16 {
    while unsafe nextID == Self.posted || byID[Int(nextID)] != Self.nobody { nextID &+= 1 }
    defer { nextID &+= 1 }
    unsafe byID[Int(nextID)] = call.place + 1
    return nextID
  }

  /// The result of a search for the call of a reply.
  enum Match {
    case call(CallHandle)
    /// The reply comes too late; its ID is free again.
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

  /// Frees the ID of a call whose reply has come.
  ///
  /// The entry stays taken until ``release(_:)``.
  mutating func answered(_ call: CallHandle) {
    unsafe byID[Int(call.id)] = Self.nobody
    inFlight -= 1
  }

  /// Gives up a call; its ID stays reserved until the reply comes.
  mutating func abandon(_ call: CallHandle) {
    unsafe byID[Int(call.id)] = Self.abandoned
    inFlight -= 1
    abandonedCount += 1
    release(call)
  }

  /// Frees an entry.
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

  /// Adds an async call.
  mutating func add(_ task: AsyncCall, _ call: CallHandle) {
    ofTasks[ObjectIdentifier(task)] = call
  }

  /// The call of a task, nil if the task no longer waits.
  func call(of task: AsyncCall) -> CallHandle? { ofTasks[ObjectIdentifier(task)] }

  /// Removes an async call.
  ///
  /// - Returns: whether the task was waiting.
  mutating func remove(_ task: AsyncCall) -> Bool {
    ofTasks.removeValue(forKey: ObjectIdentifier(task)) != nil
  }

  /// The earliest deadline of an async call.
  var earliestDeadline: Deadline {
    ofTasks.values.reduce(.never) { earliest, call in
      guard case .async(let pending) = call.kind else { return earliest }
      return min(earliest, pending.deadline)
    }
  }

  /// Keeps the closure for the late reply to a call that is given up.
  mutating func keep(_ completion: @escaping CommandCompletion, of call: CallHandle) {
    lateCompletions[call.id] = completion
  }

  /// Takes the closure for a late reply.
  mutating func takeLateCompletion(_ id: UInt16) -> CommandCompletion? {
    lateCompletions.removeValue(forKey: id)
  }

  var keepsNoLateCompletion: Bool { lateCompletions.isEmpty }

  mutating func forgetLateCompletions() { lateCompletions.removeAll() }
}
