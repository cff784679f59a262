internal import SystemPackage
public import VFIOUserProtocol
internal import VFIOUserTransport

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
    let window = MemoryService.DMAWindow(
      address: address, size: size, memory: memory, offset: offset, flags: flags,
      isShared: isShared)
    try check(window)
    let memory = client.memory
    try memory.inOrder { () throws(ClientError) in
      guard memory.update({ $0.add(window) }) else {
        throw .badWindow("it overlaps with another")
      }
      connection.noteMemory()
      do throws(ClientError) {
        try connection.sendMap(window, in: group, completion(of: window))
      } catch {
        memory.update { $0.refused(window) }
        throw error
      }
    }
  }

  /// Takes a window back; see `Client.unmap`.
  public func unmap(at address: UInt64, size: UInt64) throws(ClientError) {
    let memory = client.memory
    try memory.inOrder { () throws(ClientError) in
      guard let window = memory.window(at: address, size: size) else {
        throw .badWindow("there is no window of \(size) bytes at \(address)")
      }
      try unmap([window], DMAUnmap(address: address, size: size))
    }
  }

  /// Takes all windows back; see `Client.unmapAll`.
  public func unmapAll() throws(ClientError) {
    let memory = client.memory
    try memory.inOrder { () throws(ClientError) in try unmap(memory.all, .everything) }
  }

  private func unmap(
    _ windows: [MemoryService.DMAWindow], _ request: DMAUnmap
  ) throws(ClientError) {
    let memory = client.memory
    memory.update { for window in windows { $0.beginUnmap(window) } }
    do throws(ClientError) {
      try connection.sendUnmap(request, in: group, completion(of: windows))
    } catch {
      memory.update { for window in windows { $0.stays(window) } }
      throw error
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
    defer { finish() }
    try connection.fence(group, timeout: limit.rest)
  }

  func commit(_ limit: TimeLimit) async throws(ClientError) {
    defer { finish() }
    try await connection.fence(group, timeout: limit.rest)
  }

  private func finish() {
    connection.noteMemory()
    connection.unmapUnwanted()
  }

  private func check(_ window: MemoryService.DMAWindow) throws(ClientError) {
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

// MARK: Answers

extension MemoryChanges {
  /// What becomes of a window that was added.
  private func completion(of window: MemoryService.DMAWindow) -> CommandCompletion {
    { [memory = client.memory, weak connection] failure, isLate in
      switch (failure, isLate) {
      case (nil, false): memory.update { $0.arrived(window) }
      case (_?, false): memory.update { $0.refused(window) }
      case (nil, true):
        memory.update { $0.arrivedUnwanted(window) }
        connection?.unmapUnwanted()
      case (_?, true): break
      }
    }
  }

  /// What becomes of windows that were taken back.
  private func completion(of windows: [MemoryService.DMAWindow]) -> CommandCompletion {
    { [memory = client.memory, weak connection] failure, isLate in
      memory.update { all in
        for window in windows {
          switch failure {
          case nil, .refused(_, .noSuchFileOrDirectory): all.left(window)
          default: all.stays(window)
          }
        }
      }
      if isLate { connection?.noteMemory() }
    }
  }
}

extension Connection {
  /// Tells the device of windows that it has taken when nobody waited for that any more.
  ///
  /// Nobody waits for these answers either.
  fileprivate func unmapUnwanted() {
    // Without the lock of the order another thread could add a window in between.
    try? service.inOrder { () throws(ClientError) in
      for window in service.update({ $0.takeUnwanted() }) {
        let group = FenceGroup()
        let request = DMAUnmap(address: window.address, size: window.size)
        try sendUnmap(request, in: group, nil)
        state.update { _ = abandonAll(&$0, of: group) }
      }
    }
  }

  /// Sends that windows are taken back.
  fileprivate func sendUnmap(
    _ request: DMAUnmap, in group: FenceGroup, _ completion: CommandCompletion?
  ) throws(ClientError) {
    trace.record(.dma(.dmaUnmap, address: request.address, size: request.size))
    try send(.dmaUnmap, payload: request.wireSize, in: group, completion) {
      request.encode(into: &$0)
    }
  }

  /// Sends a window, with its memory if that is shared.
  ///
  /// - Parameter settlement: hears whether the server takes it.
  func sendMap(
    _ window: MemoryService.DMAWindow, in group: FenceGroup, _ completion: CommandCompletion? = nil
  ) throws(ClientError) {
    var descriptors = DescriptorList()
    if window.isShared {
      do throws(SystemCallError) {
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
      .dmaMap, payload: request.wireSize, descriptors: descriptors, in: group, completion
    ) {
      request.encode(into: &$0)
    }
  }
}
