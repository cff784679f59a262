/// The blocks of a namespace that the engine reads or writes, and the commands that wait for them.
///
/// Reads and writes of a block are atomic (AWUN and NAWUN count from one block, NVMe 1.4, section 6.4), which file
/// systems do not guarantee: a read of the page cache copies while a write does. So a request does not start while
/// its blocks are being written, nor a write while they are being read. Requests that the serving thread carries out
/// at once need no claim; conflicting requests wait in the order of arrival.
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
  /// Flushes and other requests that block every write to the file, whatever their blocks.
  private var heavy = 0
  /// Commands that wait.
  private var waiting: [CommandSlot] = []
  /// Whether claims were removed since the last ``takeReady()``.
  private var hasChanged = false

  /// Whether the engine has a request that blocks every write to the file.
  var holdsHeavy: Bool { heavy > 0 }

  /// Whether a request may be carried out at once, wherever its blocks are.
  func permits(changes: Bool) -> Bool {
    claims.isEmpty || changing == 0 && waiting.isEmpty && !changes
  }

  /// Whether a request must not be begun yet.
  func mustWait(_ request: StorageRequest) -> Bool {
    // The usual cases: nothing is in flight, or there are only reads.
    if permits(changes: request.operation.changesBlocks) { return false }
    let new = Claim(request)
    return claims.contains { $0.isInTheWay(of: new) }
      || waiting.contains { Claim($0.request).isInTheWay(of: new) }
  }

  /// A request goes to the engine.
  mutating func add(_ request: StorageRequest) {
    if request.operation.isHeavy { heavy += 1 }
    if request.operation.changesBlocks { changing += 1 }
    claims.append(Claim(request))
  }

  /// A request has come back from the engine.
  mutating func remove(_ request: StorageRequest) {
    guard let place = claims.firstIndex(where: { $0.tag == request.tag }) else { return }
    claims.swapAt(place, claims.count - 1)
    claims.removeLast()
    if request.operation.isHeavy { heavy -= 1 }
    if request.operation.changesBlocks { changing -= 1 }
    if !waiting.isEmpty { hasChanged = true }
  }

  /// A command waits until ``takeReady()`` returns it.
  mutating func wait(_ slot: CommandSlot) {
    slot.isWaitingForBlocks = true
    waiting.append(slot)
  }

  /// A command has ended without being carried out.
  mutating func forget(_ slot: CommandSlot) {
    guard slot.isWaitingForBlocks else { return }
    slot.isWaitingForBlocks = false
    waiting.removeAll { $0 === slot }
    if !waiting.isEmpty { hasChanged = true }
  }

  /// The first command that conflicts with no other any more.
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
  var changesBlocks: Bool {
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
