public import VFIOUserProtocol
internal import VFIOUserTransport

extension Client {
  /// Lets the device reach a window of our addresses (`VFIO_USER_DMA_MAP`).
  ///
  /// - Parameters:
  ///   - memory: what is there, or nil for a window that the device reaches by messages only.
  ///   - address: where the device sees it.
  ///   - size: bytes.
  ///   - offset: where the window begins in the memory; a multiple of the page size.
  ///   - flags: what the device may do.
  public func map(
    _ memory: SharedMemory?, at address: UInt64, size: UInt64, offset: UInt64 = 0,
    _ flags: DMAMapFlags = [.readable, .writable]
  ) throws(ClientError) {
    let request = DMAMap(flags: flags, offset: offset, address: address, size: size)
    try call(.dmaMap, request, descriptors: try Self.lent(memory))
  }

  private static func lent(_ memory: SharedMemory?) throws(ClientError) -> DescriptorList {
    var descriptors = DescriptorList()
    guard let memory else { return descriptors }
    do throws(SystemFailure) {
      descriptors.append(try memory.descriptor.duplicate())
    } catch {
      throw .system(error)
    }
    return descriptors
  }

  /// Takes a window back (`VFIO_USER_DMA_UNMAP`); when this returns, the device no longer uses it.
  public func unmap(at address: UInt64, size: UInt64) throws(ClientError) {
    let _: DMAUnmap = try call(.dmaUnmap, DMAUnmap(address: address, size: size))
  }

  /// Takes all windows back.
  public func unmapAll() throws(ClientError) {
    let _: DMAUnmap = try call(.dmaUnmap, DMAUnmap.everything)
  }
}
