public import VFIOUserProtocol
internal import VFIOUserTransport

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
  public func unmap(
    at address: UInt64, size: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    try transaction(timeout: timeout) { (changes) throws(ClientError) in
      try changes.unmap(at: address, size: size)
    }
  }

  /// Takes all windows back.
  public func unmapAll(timeout: Duration? = nil) throws(ClientError) {
    let limit = TimeLimit(timeout)
    let connection = try connection(within: limit)
    trace.record(.dma(.dmaUnmap, address: 0, size: 0))
    _ = try connection.perform(Exchanges.unmapAll, timeout: limit.rest)
    memory.removeAll()
    connection.noteMemory()
  }

  /// Changes several windows with one wait at the end: the messages go out one after the other, and
  /// their answers are waited for together.
  ///
  /// - Throws: the first refusal; the changes that were not refused are in force.
  public func transaction(
    timeout: Duration? = nil, _ body: (MemoryChanges) throws(ClientError) -> Void
  ) throws(ClientError) {
    let limit = TimeLimit(timeout)
    let changes = MemoryChanges(self, try connection(within: limit))
    let failure = changes.failure(of: body)
    try changes.commit(limit)
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
    let limit = TimeLimit(timeout)
    let connection = try await connection(within: limit)
    trace.record(.dma(.dmaUnmap, address: 0, size: 0))
    _ = try await connection.perform(Exchanges.unmapAll, timeout: limit.rest)
    memory.removeAll()
    connection.noteMemory()
  }

  /// Changes several windows and suspends once, until all are answered.
  ///
  /// - Throws: the first refusal; the changes that were not refused are in force.
  public func transaction(
    timeout: Duration? = nil, _ body: (MemoryChanges) throws(ClientError) -> Void
  ) async throws(ClientError) {
    let limit = TimeLimit(timeout)
    let changes = MemoryChanges(self, try await connection(within: limit))
    let failure = changes.failure(of: body)
    try await changes.commit(limit)
    if let failure { throw failure }
  }
}

/// Changes of windows that are under way; see `Client.transaction`.
public struct MemoryChanges {
  private let client: Client
  private let connection: Connection
  private let group = FenceGroup()

  init(_ client: Client, _ connection: Connection) {
    self.client = client
    self.connection = connection
  }

  /// Adds a window; see `Client.map`.
  public func map(
    _ memory: SharedMemory, at address: UInt64, size: UInt64, offset: UInt64 = 0,
    _ flags: DMAMapFlags = [.readable, .writable], isShared: Bool = true
  ) throws(ClientError) {
    let window = MemoryService.Window(
      address: address, size: size, memory: memory, offset: offset, flags: flags,
      isShared: isShared)
    try check(window)
    guard client.memory.add(window) else {
      throw .badWindow("it overlaps with another")
    }
    connection.noteMemory()
    do throws(ClientError) {
      let memory = client.memory
      try connection.sendMap(window, in: group) { memory.remove(address: address, size: size) }
    } catch {
      client.memory.remove(address: address, size: size)
      throw error
    }
  }

  /// Takes a window back.
  public func unmap(at address: UInt64, size: UInt64) throws(ClientError) {
    guard client.memory.remove(address: address, size: size) else {
      throw .badWindow("there is no window of \(size) bytes at \(address)")
    }
    let request = DMAUnmap(address: address, size: size)
    connection.trace.record(.dma(.dmaUnmap, address: address, size: size))
    try connection.send(.dmaUnmap, payload: request.wireSize, in: group) {
      request.encode(into: &$0)
    }
  }

  /// Makes the changes, as far as they can be made.
  func failure(of body: (MemoryChanges) throws(ClientError) -> Void) -> ClientError? {
    do throws(ClientError) {
      try body(self)
      return nil
    } catch {
      return error
    }
  }

  func commit(_ limit: TimeLimit) throws(ClientError) {
    defer { connection.noteMemory() }
    try connection.fence(group, timeout: limit.rest)
  }

  func commit(_ limit: TimeLimit) async throws(ClientError) {
    defer { connection.noteMemory() }
    try await connection.fence(group, timeout: limit.rest)
  }

  private func check(_ window: MemoryService.Window) throws(ClientError) {
    let limits = client.server.capabilities
    guard window.size > 0, !window.flags.isEmpty,
      !window.address.addingReportingOverflow(window.size - 1).overflow
    else { throw .badWindow("it is empty, without a permission, or passes the last address") }
    let (end, wraps) = window.offset.addingReportingOverflow(window.size)
    guard !wraps, end <= window.memory.size else {
      throw .badWindow(
        "\(window.size) bytes at \(window.offset) are not inside of \(window.memory.size)")
    }
    let pageSize = limits.effectivePageSizes & (~limits.effectivePageSizes &+ 1)
    guard pageSize > 0, (window.address | window.size | window.offset) % pageSize == 0 else {
      throw .badWindow("it is not aligned to the server's page size \(pageSize)")
    }
    guard client.memory.count < limits.effectiveMaxDMAWindows else {
      throw .badWindow("the server takes at most \(limits.effectiveMaxDMAWindows) windows")
    }
  }
}

extension Connection {
  /// Sends a window, with its memory if that is shared.
  ///
  /// - Parameter undo: called when the server does not take it.
  func sendMap(
    _ window: MemoryService.Window, in group: FenceGroup,
    undo: (@Sendable () -> Void)? = nil
  ) throws(ClientError) {
    var descriptors = DescriptorList()
    if window.isShared {
      do throws(SystemFailure) {
        descriptors.append(try window.memory.descriptor.duplicate())
      } catch {
        throw .system(error)
      }
    }
    let request = DMAMap(
      flags: window.flags, offset: window.isShared ? window.offset : 0, address: window.address,
      size: window.size)
    trace.record(.dma(.dmaMap, address: window.address, size: window.size))
    try send(
      .dmaMap, payload: request.wireSize, descriptors: descriptors, in: group, undo: undo
    ) {
      request.encode(into: &$0)
    }
  }
}
