/// What the engine does with which blocks of a namespace, and the commands that have to wait for that.
///
/// A block is read and written as a whole (AWUN and NAWUN count from one block, NVMe 1.4, section 6.4), and file
/// systems do not see to that: a read of the page cache copies while a write does. So nothing is begun with
/// blocks that are being written, nor a write to blocks that are being read. What the controller's thread does by
/// itself is done at once and needs no claim; whoever finds others in its way waits behind them, in the order of
/// arrival.
struct BlockClaims {
  private struct Claim {
    let start: UInt64
    let end: UInt64
    let changes: Bool
    let tag: Int

    init(_ request: StorageRequest) {
      start = request.offset
      end = request.offset + request.count
      changes = request.operation.changesBlocks
      tag = request.tag
    }

    func isInTheWay(of other: Claim) -> Bool {
      (changes || other.changes) && start < other.end && other.start < end
    }
  }

  private var claims: [Claim] = []
  /// How many of them change blocks.
  private var changing = 0
  /// Flushes and everything else for which a file system makes others wait, whatever blocks they are about.
  private var heavy = 0
  /// Commands that wait.
  private var waiting: [CommandSlot] = []
  /// Whether claims have gone since the waiting ones were looked at.
  private var hasChanged = false

  /// Whether the engine is busy with something that makes every other write to the file wait.
  var holdsHeavy: Bool { heavy > 0 }

  /// Whether a request must not be begun yet.
  func mustWait(_ request: StorageRequest) -> Bool {
    // The usual cases: nothing is under way, or nobody changes anything.
    if claims.isEmpty || changing == 0 && waiting.isEmpty && !request.operation.changesBlocks {
      return false
    }
    let new = Claim(request)
    return claims.contains { $0.isInTheWay(of: new) }
      || waiting.contains { Claim($0.request).isInTheWay(of: new) }
  }

  /// The engine has the request from now on.
  mutating func add(_ request: StorageRequest) {
    if request.operation.isHeavy { heavy += 1 }
    if request.operation.changesBlocks { changing += 1 }
    claims.append(Claim(request))
  }

  /// The engine has the request no longer.
  mutating func remove(_ request: StorageRequest) {
    guard let place = claims.firstIndex(where: { $0.tag == request.tag }) else { return }
    claims.swapAt(place, claims.count - 1)
    claims.removeLast()
    if request.operation.isHeavy { heavy -= 1 }
    if request.operation.changesBlocks { changing -= 1 }
    if !waiting.isEmpty { hasChanged = true }
  }

  /// A command waits until ``takeReady()`` has it.
  mutating func wait(_ slot: CommandSlot) {
    slot.isWaitingForBlocks = true
    waiting.append(slot)
  }

  /// A command does not wait any more; nobody wants it.
  mutating func forget(_ slot: CommandSlot) {
    guard slot.isWaitingForBlocks else { return }
    slot.isWaitingForBlocks = false
    waiting.removeAll { $0 === slot }
    if !waiting.isEmpty { hasChanged = true }
  }

  /// The first command that has nothing in its way any more.
  mutating func takeReady() -> CommandSlot? {
    guard hasChanged else { return nil }
    for (place, slot) in waiting.enumerated() {
      let claim = Claim(slot.request)
      guard !claims.contains(where: { $0.isInTheWay(of: claim) }),
        !waiting[..<place].contains(where: { Claim($0.request).isInTheWay(of: claim) })
      else { continue }
      waiting.remove(at: place)
      slot.isWaitingForBlocks = false
      return slot
    }
    hasChanged = false
    return nil
  }
}

extension StorageRequest.Operation {
  fileprivate var changesBlocks: Bool {
    switch self {
    case .write, .zero, .deallocate: true
    case .read, .flush: false
    }
  }

  fileprivate var isHeavy: Bool {
    switch self {
    case .flush, .zero, .deallocate: true
    case .read, .write: false
    }
  }
}
