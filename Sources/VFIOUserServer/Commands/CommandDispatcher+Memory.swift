internal import VFIOUserTransport
internal import Logging
internal import Synchronization
internal import SystemPackage

extension CommandDispatcher {
  /// `VFIO_USER_DMA_MAP`.
  func mapMemory(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(DMAMap.self, payload)
    let isShared = !descriptors.isEmpty
    do {
      try core.memory.add(
        request, descriptors.takeFirst(), limit: options.maxDMAWindows, files: options.memoryFiles)
    } catch {
      noteRefusal(request, error)
      throw error
    }
    if !isShared, request.flags.contains(.writable) { noteUnsharedMemory(request) }
    acknowledge(header, into: &outbox)
  }

  /// Logs why a DMA_MAP is refused, if the operator can do something about it.
  private func noteRefusal(_ request: DMAMap, _ error: Errno) {
    let remedy: String
    switch error {
    case .notSupported:
      remedy = """
        it is a file on a file system, which could make the device wait for ever. Use a memfd, or a file on \
        tmpfs or hugetlbfs; or let the server map any file (--memory-files any) if the client is trusted
        """
    case .noSpace: remedy = "there are too many windows (vm.max_map_count limits all of a process)"
    case .noMemory:
      remedy = "it is too large beside what other clients have and may have (ulimit -v)"
    default: return
    }
    logger.warning(
      "a client's memory is refused: \(remedy)",
      metadata: [
        "address": "0x\(String(request.address, radix: 16))",
        "size": "0x\(String(request.size, radix: 16))",
      ])
  }

  /// Logs once per client that its memory is accessed by messages, and the remedy.
  ///
  /// Ignores small windows: QEMU maps the mappable areas of devices without a descriptor.
  private func noteUnsharedMemory(_ request: DMAMap) {
    guard request.size >= 64 << 20, !hasNotedUnsharedMemory.exchange(true, ordering: .relaxed)
    else { return }
    logger.notice(
      """
      the client does not share its memory: every DMA to it goes by messages, which is slow. \
      With QEMU use -object memory-backend-memfd,id=mem,size=...,share=on and \
      -machine ...,memory-backend=mem
      """,
      metadata: [
        "address": "0x\(String(request.address, radix: 16))",
        "size": "0x\(String(request.size, radix: 16))",
      ])
  }
}
