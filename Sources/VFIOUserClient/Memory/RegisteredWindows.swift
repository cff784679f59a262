internal import LinuxPrimitives

/// The windows of a client's memory, and how far their coming and going is.
///
/// A window that is taken back may be used by the device until it agrees: only then has it let go
/// (specification, "VFIO_USER_DMA_UNMAP"). So the window goes on answering, while its place is free for
/// others, whose messages follow. If the device refuses, the window is where it was.
struct RegisteredWindows {
  typealias DMAWindow = MemoryService.DMAWindow

  /// What the device has, or will have once the messages that are under way have arrived.
  private(set) var registered = WindowTable<DMAWindow>()
  /// What the device has not answered yet.
  private var arriving = Pile()
  private var leaving: Set<ObjectIdentifier> = []
  /// What the device has refused to let go, and in whose place others are arriving, which it is about to
  /// refuse as well.
  private var blocked: [DMAWindow] = []
  /// What the device has taken when nobody waited for that any more: it is to be told that they go.
  private var unwanted: [DMAWindow] = []
  /// Those that leave or are blocked, as they answer.
  private var leavers = WindowTable<DMAWindow>()

  /// Windows that answer.
  var count: Int { registered.count + leavers.count }

  /// The window that answers for an address.
  ///
  /// One that leaves before another in its place: the device has not yet heard of the other.
  func window(holding address: UInt64) -> DMAWindow? {
    if leavers.count > 0, let leaver = leavers.window(holding: address) { return leaver }
    return registered.window(holding: address)
  }

  /// Adds a window of which the device is about to be told.
  ///
  /// - Returns: false when it overlaps with another.
  mutating func add(_ window: DMAWindow) -> Bool {
    guard registered.insert(window) else { return false }
    arriving.insert(window)
    return true
  }

  /// The device has taken a window, and so has none in its place any more.
  mutating func arrived(_ window: DMAWindow) {
    guard arriving.remove(window) else { return }
    unwanted.removeAll { $0.overlaps(window) }
    for other in blocked where other.overlaps(window) { leavers.remove(other) }
    blocked.removeAll { $0.overlaps(window) }
  }

  /// The device has not taken a window, which may have been taken back already.
  mutating func refused(_ window: DMAWindow) {
    _ = arriving.remove(window)
    leaving.remove(ObjectIdentifier(window))
    leavers.remove(window)
    registered.remove(window)
    let candidates = blocked
    blocked.removeAll()
    for other in candidates { putBack(other) }
  }

  /// The device has taken a window late, when it was thought to be refused.
  mutating func arrivedUnwanted(_ window: DMAWindow) { unwanted.append(window) }

  /// The unwanted windows of which the device can be told now, and which are forgotten with this.
  ///
  /// Not those in whose place another is arriving: the device is about to refuse that one, and before it
  /// has, a message could take the other away.
  mutating func takeUnwanted() -> [DMAWindow] {
    guard !unwanted.isEmpty else { return [] }
    let due = unwanted.filter { !registered.overlaps($0.address, through: $0.last) }
    unwanted.removeAll { window in due.contains { $0 === window } }
    return due
  }

  /// Takes a window back, of which the device is about to be told.
  mutating func beginUnmap(_ window: DMAWindow) {
    registered.remove(window)
    leaving.insert(ObjectIdentifier(window))
    // Of several in one place that leave, the first answers: the device has not heard of the others.
    _ = leavers.insert(window)
  }

  /// The device has let go of a window, late perhaps, when it was thought to stay.
  mutating func left(_ window: DMAWindow) {
    leavers.remove(window)
    blocked.removeAll { $0 === window }
    if leaving.remove(ObjectIdentifier(window)) == nil { registered.remove(window) }
  }

  /// The device has not let go of a window that was taken back.
  mutating func stays(_ window: DMAWindow) {
    guard leaving.remove(ObjectIdentifier(window)) != nil else { return }
    putBack(window)
  }

  /// Puts a window back, unless others arrive in its place, or are there, which means that it has gone.
  private mutating func putBack(_ window: DMAWindow) {
    guard !arriving.overlaps(window) else { return blocked.append(window) }
    leavers.remove(window)
    _ = registered.insert(window)
  }

  /// Windows of which some may be in one place, which is rare.
  private struct Pile {
    private var table = WindowTable<DMAWindow>()
    private var others: [DMAWindow] = []

    mutating func insert(_ window: DMAWindow) {
      if !table.insert(window) { others.append(window) }
    }

    /// Takes a window out.
    ///
    /// - Returns: whether it was there.
    mutating func remove(_ window: DMAWindow) -> Bool {
      let count = table.count + others.count
      table.remove(window)
      others.removeAll { $0 === window }
      return table.count + others.count < count
    }

    func overlaps(_ window: DMAWindow) -> Bool {
      table.overlaps(window.address, through: window.last)
        || others.contains { $0.overlaps(window) }
    }
  }
}

extension MemoryService.DMAWindow {
  fileprivate func overlaps(_ other: MemoryService.DMAWindow) -> Bool {
    address <= other.last && other.address <= last
  }
}
