internal import LinuxPrimitives
internal import SystemPackage

/// The messages about memory windows.
extension Connection {
  /// Tells the device of windows that it has taken when nobody waited for that any more.
  ///
  /// Nobody waits for these answers either.
  func unmapUnwanted() {
    // Without the lock of the order another thread could add a window in between.
    try? service.inOrder { () throws(ClientError) in
      for window in service.update({ $0.takeUnwanted() }) {
        let group = FenceGroup()
        let request = DMAUnmap(address: window.address, size: window.size)
        try sendUnmap(request, in: group, nil)
        abandonAll(of: group)
      }
    }
  }

  /// Sends that windows are taken back.
  func sendUnmap(
    _ request: DMAUnmap, in group: FenceGroup, _ completion: CommandCompletion?
  ) throws(ClientError) {
    trace.record(.dma(.dmaUnmap, address: request.address, size: request.size))
    try send(.dmaUnmap, payload: request.wireSize, in: group, completion) {
      request.encode(into: &$0)
    }
  }

  /// Sends a window, with its memory if that is shared.
  ///
  /// - Parameter completion: hears whether the server takes it.
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
      flags: window.flags, offset: window.isShared ? window.fileOffset : 0, address: window.address,
      size: window.size)
    trace.record(.dma(.dmaMap, address: window.address, size: window.size))
    try send(
      .dmaMap, payload: request.wireSize, descriptors: descriptors, in: group, completion
    ) {
      request.encode(into: &$0)
    }
  }
}
