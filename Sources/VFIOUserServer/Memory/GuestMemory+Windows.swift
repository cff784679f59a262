package import SystemPackage
package import VFIOUserProtocol
package import VFIOUserTransport

// Windows change on the thread of the session only; everybody else just looks.

extension GuestMemory {
  /// Adds a window (`VFIO_USER_DMA_MAP`).
  ///
  /// - Throws: `EINVAL` for an empty window, one that wraps, one without a permission, or one that
  ///   does not fit its file; `EEXIST` for an overlap; `ENOSPC` when there are too many; what `mmap`
  ///   says.
  package func add(
    _ request: DMAMap, _ descriptor: consuming OwnedDescriptor?, limit: Int
  ) throws(Errno) {
    let (last, wraps) = request.address.addingReportingOverflow(request.size &- 1)
    guard request.size > 0, !request.flags.isEmpty, !wraps else { throw .invalidArgument }
    try state.withLock { state throws(Errno) in
      guard !state.table.overlaps(request.address, through: last) else { throw .fileExists }
      guard state.table.count < limit else { throw .noSpace }
    }
    // Outside of the lock: mapping takes longer than everything else here.
    var mapping: MappedMemory?
    if let lent = consume descriptor {
      mapping = try MappedMemory(lent, request, guarded: isGuarded)
    }
    let window = Window(request, mapping)
    try state.update { state throws(Errno) in
      guard state.table.insert(window) else { throw .fileExists }
      state.changes += 1
    }
  }
}

/// Where an access goes.
enum MemoryRoute {
  /// Into a window that is pinned now, and has to be unpinned.
  case mapped(Window, MappedMemory, GuestMemory.WriteObserver?)
  /// To the client by messages, for that many bytes at most.
  case messages(DMAChannel, rest: UInt64)
}

extension GuestMemory {
  private enum Finding {
    case route(MemoryRoute)
    case hole(changes: UInt64, until: UInt64)
  }

  /// Finds the way to an address.
  ///
  /// - Throws: every reason why it may not be touched; a hole is waited out where that is allowed.
  func route(
    to address: UInt64, _ flag: DMAMapFlags, _ generation: UInt64
  ) throws(MemoryError) -> MemoryRoute {
    while true {
      switch try find(address, flag, generation) {
      case .route(let route): return route
      case .hole(let changes, let until):
        let deadline = Deadline(instant: until)
        guard until > 0, !deadline.hasPassed, !isOnReceivingThread,
          state.withLock(when: { $0.changes != changes }, before: deadline, { _ in }) != nil
        else { throw .unmapped(at: address) }
      }
    }
  }

  private func find(
    _ address: UInt64, _ flag: DMAMapFlags, _ generation: UInt64
  ) throws(MemoryError) -> Finding {
    try state.withLock { state throws(MemoryError) in
      guard state.generation == generation else { throw .stale }
      guard state.isArmed else { throw .notArmed }
      guard let window = state.table.window(holding: address), !window.isClosing else {
        return .hole(changes: state.changes, until: state.holesMayCloseUntil)
      }
      guard window.flags.contains(flag) else { throw .notPermitted(at: address) }
      if let mapping = window.mapping {
        window.pin()
        return .route(.mapped(window, mapping, state.observer))
      }
      guard let channel = state.channel else { throw .needsMapping(at: address) }
      return .route(.messages(channel, rest: window.rest(from: address)))
    }
  }
}
