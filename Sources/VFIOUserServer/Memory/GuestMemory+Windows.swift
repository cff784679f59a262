internal import LinuxPrimitives
internal import CLinux
package import SystemPackage

// Only the session's thread changes the windows; other threads read them.

extension GuestMemory {
  /// Adds a window (`VFIO_USER_DMA_MAP`).
  ///
  /// If the file may not be mapped (``ServerOptions/memoryFiles``), the descriptor is closed and the memory
  /// is accessed by messages.
  ///
  /// - Throws: `EINVAL` for an empty window, one that wraps, one without a permission, or one that
  ///   does not fit its file; `ENOTSUP` for a file that is no memory; `EEXIST` for an overlap; `ENOSPC` or
  ///   `ENOMEM` when there are too many or they are too large; what `mmap` says.
  package func add(
    _ request: DMAMap, _ descriptor: consuming OwnedDescriptor?, limit: Int,
    files: MemoryFiles = .memory
  ) throws(Errno) {
    let (last, wraps) = request.address.addingReportingOverflow(request.size &- 1)
    let permissions = request.flags.intersection([.readable, .writable])
    guard request.size > 0, !permissions.isEmpty, !wraps else { throw .invalidArgument }
    try state.withLock { state throws(Errno) in
      guard !state.table.overlaps(request.address, through: last) else { throw .fileExists }
      guard state.table.count < limit else { throw .noSpace }
    }
    // Without the lock, because mapping takes long.
    var mapping: MappedMemory?
    var claim: MappingBudget.Reservation?
    var file: KeptFile?
    if let lent = consume descriptor, request.flags.allowsMapping {
      claim = try budget.claim(bytes: request.size)
      let mapped = try MappedMemory(lent, request, guarded: isGuarded, files: files)
      // A window in a file of huge pages takes whole ones.
      if mapped.mappedSize > request.size { claim = try budget.claim(bytes: mapped.mappedSize) }
      mapping = mapped
      file = keep(lent)
    }
    let window = DMAWindow(request, mapping, claim, file: file)
    try state.update { state throws(Errno) in
      guard state.table.insert(window) else { throw .fileExists }
      state.changes += 1
    }
  }
}

extension GuestMemory {
  /// Keeps the file of a window open, unless another window has done so, or too many are kept.
  private func keep(_ descriptor: consuming OwnedDescriptor) -> KeptFile? {
    guard let key = KeptFile.Key(descriptor) else { return nil }
    if let present = state.withLock({ $0.files.file(key) }) { return present }
    let file = KeptFile(key, descriptor)
    return state.withLock { $0.files.add(file) } ? file : nil
  }
}

/// How an address is accessed.
enum MemoryRoute {
  /// In a mapped window, which is pinned and has to be unpinned.
  case mapped(DMAWindow, MappedMemory)
  /// By messages to the client, for at most `rest` bytes.
  case messages(DMAChannel, rest: UInt64)
}

extension GuestMemory {
  private enum Finding {
    case route(MemoryRoute)
    case hole(changes: UInt64, until: UInt64)
  }

  /// Finds out how an address is accessed.
  ///
  /// - Throws: ``MemoryError`` if it cannot be accessed; first waits for a hole to close, if that may be
  ///   waited for.
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
      guard state.isDMAAllowed else { throw .dmaNotAllowed }
      guard state.isBusMaster else { throw .notBusMaster }
      guard let window = state.table.window(holding: address), !window.isClosing else {
        return .hole(changes: state.changes, until: state.holesMayCloseUntil)
      }
      guard window.flags.contains(flag) else { throw .notPermitted(at: address) }
      if let mapping = window.mapping {
        if isGuarded { clinux_guard_enter_thread() }
        window.pin()
        return .route(.mapped(window, mapping))
      }
      guard let channel = state.channel else { throw .needsMapping(at: address) }
      return .route(.messages(channel, rest: window.rest(from: address)))
    }
  }
}
