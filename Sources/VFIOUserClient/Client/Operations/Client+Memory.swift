extension Client {
  /// Lets the device reach memory of ours (`VFIO_USER_DMA_MAP`).
  ///
  /// - Parameters:
  ///   - memory: what is there.
  ///   - address: where the device sees it.
  ///   - size: bytes.
  ///   - offset: where the window begins in the memory; a multiple of the page size.
  ///   - flags: what the device may do.
  ///   - isShared: whether the device gets the memory itself; else it reaches it by messages, which
  ///     the client answers.
  /// - Throws: ``ClientError/badWindow(_:)`` before anything is sent, when the window overlaps with
  ///   another, leaves its memory, or is not aligned to a page size that the server takes.
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

  /// Takes a window back (`VFIO_USER_DMA_UNMAP`); when this returns, the device no longer uses it.
  ///
  /// Until the device agrees it may use the window, and what it asks for meanwhile is answered. When it
  /// refuses, when the connection is lost, or when no answer comes in time, the window stays registered,
  /// also for the next connection, and may be taken back again; an answer that comes late still counts.
  /// A device that refuses with `ENOENT` does not have the window, which is forgotten.
  public func unmap(
    at address: UInt64, size: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    try transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmap(at: address, size: size)
    }
  }

  /// Takes all windows back, with one message; see ``unmap(at:size:timeout:)``.
  public func unmapAll(timeout: Duration? = nil) throws(ClientError) {
    try transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmapAll()
    }
  }

  /// Changes several windows with one wait at the end: the messages go out one after the other, and
  /// their answers are waited for together.
  ///
  /// A window may take the place of one that is taken back in front of it.
  ///
  /// - Throws: the first failure; the changes that did not fail are in force, the others are not.
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
  /// Lets the device reach memory of ours, without holding a thread.
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

  /// Takes a window back, without holding a thread.
  public func unmap(
    at address: UInt64, size: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmap(at: address, size: size)
    }
  }

  /// Takes all windows back, without holding a thread.
  public func unmapAll(timeout: Duration? = nil) async throws(ClientError) {
    try await transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmapAll()
    }
  }

  /// Changes several windows and suspends once, until all are answered.
  ///
  /// A window may take the place of one that is taken back in front of it.
  ///
  /// - Throws: the first failure; the changes that did not fail are in force, the others are not.
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
