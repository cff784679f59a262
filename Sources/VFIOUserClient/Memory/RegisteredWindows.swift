internal import LinuxPrimitives

/// The DMA windows of a client, and the state of their map and unmap commands.
///
/// The device may use a window until it has replied to the unmap (specification, "VFIO_USER_DMA_UNMAP"). So
/// until then the window still answers DMA messages, while other windows may be mapped at its addresses. If
/// the device refuses, the window is registered again.
struct RegisteredWindows {
  typealias DMAWindow = MemoryService.DMAWindow

  /// The windows that the device has, or will have after the messages in flight.
  private(set) var registered = WindowTable<DMAWindow>()
  /// Windows whose map has no reply yet.
  private var arriving = Pile()
  private var leaving: Set<ObjectIdentifier> = []
  /// Windows whose unmap was refused while a map at the same address is in flight, which will be refused too.
  private var blocked: [DMAWindow] = []
  /// Windows that the device mapped after the call was given up; they have to be unmapped.
  private var unwanted: [DMAWindow] = []
  /// Windows that are being unmapped or are blocked, in the order in which they answer.
  private var leavers = WindowTable<DMAWindow>()

  /// Windows that answer DMA messages.
  var count: Int { registered.count + leavers.count }

  /// The window that answers DMA messages for an address.
  ///
  /// A window that is being unmapped comes before a newer one at its address, which the device does not have
  /// yet.
  func window(holding address: UInt64) -> DMAWindow? {
    if leavers.count > 0, let leaver = leavers.window(holding: address) { return leaver }
    return registered.window(holding: address)
  }

  /// Adds a window, before its DMA_MAP is sent.
  ///
  /// - Returns: false if it overlaps another.
  mutating func add(_ window: DMAWindow) -> Bool {
    guard registered.insert(window) else { return false }
    arriving.insert(window)
    return true
  }

  /// The device has mapped a window, so it has no other at its address.
  mutating func arrived(_ window: DMAWindow) {
    guard arriving.remove(window) else { return }
    unwanted.removeAll { $0.overlaps(window) }
    for other in blocked where other.overlaps(window) { leavers.remove(other) }
    blocked.removeAll { $0.overlaps(window) }
  }

  /// The device has refused to map a window, which may be unmapped already.
  mutating func refused(_ window: DMAWindow) {
    _ = arriving.remove(window)
    leaving.remove(ObjectIdentifier(window))
    leavers.remove(window)
    registered.remove(window)
    let candidates = blocked
    blocked.removeAll()
    for other in candidates { putBack(other) }
  }

  /// The device has mapped a window after the call was given up.
  mutating func arrivedUnwanted(_ window: DMAWindow) { unwanted.append(window) }

  /// Removes and returns the unwanted windows that can be unmapped now.
  ///
  /// Without windows at whose address a map is in flight: the device will refuse that map, and an unmap
  /// before its reply could remove the wrong window.
  mutating func takeUnwanted() -> [DMAWindow] {
    guard !unwanted.isEmpty else { return [] }
    let due = unwanted.filter { !registered.overlaps($0.address, through: $0.last) }
    unwanted.removeAll { window in due.contains { $0 === window } }
    return due
  }

  /// Removes a window, before its DMA_UNMAP is sent.
  mutating func beginUnmap(_ window: DMAWindow) {
    registered.remove(window)
    leaving.insert(ObjectIdentifier(window))
    // Of several windows at one address that are being unmapped the first answers; the device does not have
    // the others.
    _ = leavers.insert(window)
  }

  /// The device has unmapped a window, perhaps after the call was given up.
  mutating func left(_ window: DMAWindow) {
    leavers.remove(window)
    blocked.removeAll { $0 === window }
    if leaving.remove(ObjectIdentifier(window)) == nil { registered.remove(window) }
  }

  /// The device has refused to unmap a window.
  mutating func stays(_ window: DMAWindow) {
    guard leaving.remove(ObjectIdentifier(window)) != nil else { return }
    putBack(window)
  }

  /// Registers a window again, unless a map at its address is in flight, or another window is there, which
  /// means that the device has unmapped it.
  private mutating func putBack(_ window: DMAWindow) {
    guard !arriving.overlaps(window) else { return blocked.append(window) }
    leavers.remove(window)
    _ = registered.insert(window)
  }

  /// Windows that may overlap, which is rare.
  private struct Pile {
    private var table = WindowTable<DMAWindow>()
    private var others: [DMAWindow] = []

    mutating func insert(_ window: DMAWindow) {
      if !table.insert(window) { others.append(window) }
    }

    /// Removes a window.
    ///
    /// - Returns: whether it was registered.
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
