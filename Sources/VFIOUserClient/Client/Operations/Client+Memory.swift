extension Client {
  /// Maps memory for the device: adds a DMA window (`VFIO_USER_DMA_MAP`).
  ///
  /// - Parameters:
  ///   - memory: the memory.
  ///   - address: the first guest address of the window.
  ///   - size: bytes.
  ///   - offset: start of the window in the memory, in bytes; a multiple of the page size.
  ///   - flags: the permissions of the device.
  ///   - isShared: whether the device gets the descriptor; if not, it accesses the memory by messages, which
  ///     the client answers.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  /// - Throws: ``ClientError/badWindow(_:)``, before a message is sent, if the window overlaps another, does
  ///   not lie in its memory, or is not aligned to a page size of the server.
  public func map(
    _ memory: SharedMemory, at address: UInt64, size: UInt64, offset: UInt64 = 0,
    _ flags: DMAMapFlags = [.readable, .writable], isShared: Bool = true,
    timeout: Duration? = nil
  ) throws(ClientError) {
    try transaction(timeout: timeout) {
      (changes) throws(ClientError) in
      try changes.map(
        memory, at: address, size: size, offset: offset, flags, isShared: isShared)
    }
  }

  /// Unmaps a DMA window (`VFIO_USER_DMA_UNMAP`); when this returns, the device no longer accesses it.
  ///
  /// Until the device replies it may access the window, and its DMA messages are answered. If the device
  /// refuses, the connection is lost, or the reply does not come in time, the window stays registered, also
  /// for the next connection, and can be unmapped again; a late reply still takes effect. If the device
  /// refuses with `ENOENT` it does not have the window, which is then removed here too.
  public func unmap(
    at address: UInt64, size: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    try transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmap(at: address, size: size)
    }
  }

  /// Unmaps all windows with one message; see `unmap(at:size:timeout:)`.
  public func unmapAll(timeout: Duration? = nil) throws(ClientError) {
    try transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmapAll()
    }
  }

  /// Changes several windows with one wait: sends all messages, then waits for all replies.
  ///
  /// A window may be mapped where an earlier change unmaps one.
  ///
  /// - Throws: the first error; the changes without an error are in effect, the others are not.
  public func transaction(
    timeout: Duration? = nil, _ body: (MemoryChanges) throws(ClientError) -> Void
  ) throws(ClientError) {
    let deadline = timeout.deadline
    let changes = MemoryChanges(self, try connection(before: deadline))
    let failure = changes.failure(of: body)
    try changes.commit(before: deadline)
    if let failure { throw failure }
  }
}

// MARK: For tasks

extension Client {
  /// Maps memory for the device; suspends the task.
  public func map(
    _ memory: SharedMemory, at address: UInt64, size: UInt64, offset: UInt64 = 0,
    _ flags: DMAMapFlags = [.readable, .writable], isShared: Bool = true,
    timeout: Duration? = nil
  ) async throws(ClientError) {
    try await transaction(timeout: timeout) {
      (changes) throws(ClientError) in
      try changes.map(
        memory, at: address, size: size, offset: offset, flags, isShared: isShared)
    }
  }

  /// Unmaps a DMA window; suspends the task.
  public func unmap(
    at address: UInt64, size: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmap(at: address, size: size)
    }
  }

  /// Unmaps all windows; suspends the task.
  public func unmapAll(timeout: Duration? = nil) async throws(ClientError) {
    try await transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmapAll()
    }
  }

  /// Changes several windows and suspends the task once, until all replies have come.
  ///
  /// A window may be mapped where an earlier change unmaps one.
  ///
  /// - Throws: the first error; the changes without an error are in effect, the others are not.
  public func transaction(
    timeout: Duration? = nil, _ body: (MemoryChanges) throws(ClientError) -> Void
  ) async throws(ClientError) {
    let deadline = timeout.deadline
    let changes = MemoryChanges(self, try await connection(before: deadline))
    let failure = changes.failure(of: body)
    try await changes.commit(before: deadline)
    if let failure { throw failure }
  }
}
