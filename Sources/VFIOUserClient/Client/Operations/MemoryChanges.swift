internal import LinuxPrimitives
internal import SystemPackage

/// Changes of DMA windows that are in progress; see `Client.transaction`.
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

  /// Unmaps a window; see `Client.unmap`.
  public func unmap(at address: UInt64, size: UInt64) throws(ClientError) {
    let memory = client.memory
    try memory.inOrder { () throws(ClientError) in
      guard let window = memory.window(at: address, size: size) else {
        throw .badWindow("there is no window of \(size) bytes at \(address)")
      }
      try unmap([window], DMAUnmap(address: address, size: size))
    }
  }

  /// Unmaps all windows; see `Client.unmapAll`.
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

  /// Makes the changes, until one fails.
  func failure(of body: (MemoryChanges) throws(ClientError) -> Void) -> ClientError? {
    do throws(ClientError) {
      try body(self)
      return nil
    } catch {
      return error
    }
  }

  func commit(before deadline: Deadline?) throws(ClientError) {
    defer { finish() }
    try connection.fence(group, before: deadline)
  }

  func commit(before deadline: Deadline?) async throws(ClientError) {
    defer { finish() }
    try await connection.fence(group, before: deadline)
  }

  private func finish() {
    connection.noteMemory()
    connection.unmapUnwanted()
  }

  private func check(_ window: MemoryService.DMAWindow) throws(ClientError) {
    let limits = client.negotiatedVersion.capabilities
    guard window.size > 0, !window.flags.isEmpty,
      !window.address.addingReportingOverflow(window.size - 1).overflow
    else { throw .badWindow("it is empty, without a permission, or passes the last address") }
    let (end, wraps) = window.offset.addingReportingOverflow(window.size)
    guard !wraps, end <= window.memory.size else {
      throw .badWindow(
        "\(window.size) bytes at \(window.offset) are not inside of \(window.memory.size)")
    }
    let pageSize = limits.effectivePageSizes & (~limits.effectivePageSizes &+ 1)
    guard pageSize > 0, (window.address | window.size | window.fileOffset) % pageSize == 0
    else {
      throw .badWindow("it is not aligned to the server's page size \(pageSize)")
    }
    try window.requirePermissions()
    guard client.memory.count < limits.effectiveMaxDMAWindows else {
      throw .badWindow("the server takes at most \(limits.effectiveMaxDMAWindows) windows")
    }
  }
}

// MARK: Answers

extension MemoryChanges {
  /// Handles the reply for a window that was added.
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

  /// Handles the reply for windows that were unmapped.
  private func completion(of windows: [MemoryService.DMAWindow]) -> CommandCompletion {
    { [memory = client.memory, weak connection] failure, isLate in
      memory.update { all in
        for window in windows {
          switch failure?.reason {
          case nil, .refused(_, .noSuchFileOrDirectory): all.left(window)
          default: all.stays(window)
          }
        }
      }
      if isLate { connection?.noteMemory() }
    }
  }
}

extension MemoryService.DMAWindow {
  /// Refuses a window with more permissions than the memory's file has.
  fileprivate func requirePermissions() throws(ClientError) {
    let missing = flags.intersection([.readable, .writable]).subtracting(memory.permissions)
    guard !missing.isEmpty else { return }
    throw .badWindow(
      "the device could write to it, and its memory is read-only: its descriptor is not open for writing, "
        + "or its file is sealed against it (F_SEAL_WRITE); open it O_RDWR, or map it readable only"
    )
  }
}
