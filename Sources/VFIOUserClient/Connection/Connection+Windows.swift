internal import LinuxPrimitives
internal import SystemPackage

/// The messages that map and unmap windows.
extension Connection {
  /// Unmaps windows that the device has mapped after the client had given up the call.
  ///
  /// Does not wait for the replies.
  func unmapUnwanted() {
    // In order, so that no other thread adds a window in between.
    try? service.inOrder { () throws(ClientError) in
      for window in service.update({ $0.takeUnwanted() }) {
        let group = FenceGroup()
        let request = DMAUnmap(address: window.address, size: window.size)
        try sendUnmap(request, in: group, nil)
        abandonAll(of: group)
      }
    }
  }

  /// Sends a DMA_UNMAP.
  func sendUnmap(
    _ request: DMAUnmap, in group: FenceGroup, _ completion: CommandCompletion?
  ) throws(ClientError) {
    trace.record(.dma(.dmaUnmap, address: request.address, size: request.size))
    try send(.dmaUnmap, payload: request.wireSize, in: group, completion) {
      request.encode(into: &$0)
    }
  }

  /// Sends a DMA_MAP, with the descriptor if the memory is shared.
  ///
  /// - Parameter completion: called at the reply.
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
