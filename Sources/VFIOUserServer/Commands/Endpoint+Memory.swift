internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Endpoint {
  /// `VFIO_USER_DMA_MAP`.
  func mapMemory(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(DMAMap.self, payload)
    guard descriptors.count <= 1 else { throw .invalidArgument }
    let isShared = !descriptors.isEmpty
    try bus.windows.add(request, descriptors.takeFirst(), limit: options.maxDMAWindows)
    if !isShared, request.flags.contains(.writable) {
      logger.notice(
        """
        the client does not share this memory: every DMA to it goes by messages, which is slow. \
        With QEMU use -object memory-backend-memfd,id=mem,size=...,share=on and \
        -machine ...,memory-backend=mem
        """,
        metadata: [
          "address": "0x\(String(request.address, radix: 16))",
          "size": "0x\(String(request.size, radix: 16))",
        ])
    }
    acknowledge(header, into: &outbox)
  }

  /// `VFIO_USER_DMA_UNMAP`; the reply echoes the request.
  func unmapMemory(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(DMAUnmap.self, payload)
    guard !request.flags.contains(.getDirtyBitmap) else { throw .notSupported }
    if request.flags.contains(.all) {
      guard request.address == 0, request.size == 0 else { throw .invalidArgument }
      bus.windows.removeAll()
    } else {
      try bus.windows.remove(address: request.address, size: request.size)
    }
    reply(to: header, request, into: &outbox)
  }
}
