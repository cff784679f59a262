internal import NVMeProtocol

extension Namespace {
  /// What Identify says of it.
  var identity: IdentifyNamespace {
    var identity = IdentifyNamespace()
    identity.size = blocks
    identity.capacity = blocks
    let used = (try? (storage as? StorageFile)?.allocated()) ?? blocks << UInt64(shift)
    identity.utilization = min(blocks, (used + (1 << UInt64(shift)) - 1) >> UInt64(shift))
    identity.features = [.thin, .optimalPerformance]
    identity.formatsZeroBased = UInt8(NamespaceConfiguration.blockSizes.count - 1)
    // A shift of 0 says that there is no such format.
    identity[format: 0] = LBAFormat(
      dataShift: offers(blockSize: 512) ? 9 : 0, relativePerformance: 1)
    identity[format: 1] = LBAFormat(dataShift: offers(blockSize: 4096) ? 12 : 0)
    identity.formattedAs = shift == 9 ? 0 : 1
    // Deallocated blocks read as zeros, unless a server of exports decides that, and Write Zeroes can deallocate.
    identity.deallocation = storage.kind == .export ? 0b1000 : 0b1001
    // The host's pages, or what a server prefers: smaller pieces cannot be given back, and make it read before it writes.
    let perPage = UInt16(clamping: max(1, storage.granularity >> Int(shift)) - 1)
    identity.preferredWriteGranularityZeroBased = perPage
    identity.preferredWriteAlignmentZeroBased = perPage
    identity.preferredDeallocateGranularityZeroBased = perPage
    identity.preferredDeallocateAlignmentZeroBased = perPage
    // No larger pieces are better than that.
    identity.optimalWriteSizeZeroBased = perPage
    identity.isWriteProtected = isReadOnly
    identity.globallyUniqueID = globallyUniqueID
    // An EUI-64 begins with a number that the IEEE has given to somebody, and we have none.
    identity.totalCapacity = blocks << UInt64(shift)
    return identity
  }
}
