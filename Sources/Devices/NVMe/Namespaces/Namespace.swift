internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserTransport

/// A namespace as its owner describes it.
public struct NamespaceConfiguration: Sendable {
  /// The sizes of blocks that a namespace can be formatted to.
  public static let blockSizes = [512, 4096]

  /// What it is made of.
  public var file: StorageFile
  /// Bytes of a block until it is formatted otherwise: 512 or 4096.
  public var blockSize: Int
  /// NGUID, 16 bytes; nil for one that is made once and kept.
  public var globallyUniqueID: [UInt8]?
  /// Where is kept what a host makes of it; nil where nothing can be kept.
  public var store: StateStore?

  /// Describes a namespace.
  public init(_ file: StorageFile, blockSize: Int = 512, globallyUniqueID: [UInt8]? = nil) {
    self.file = file
    self.blockSize = blockSize
    self.globallyUniqueID = globallyUniqueID
  }

  /// The size of its blocks: what a host has formatted it to, else what its owner says.
  var usedBlockSize: Int { store?.record.blockSize ?? blockSize }

  /// Removes what was made just now for a disk that cannot be had.
  public func removeMadeFiles() {
    store?.removeMadeFiles()
    file.removeMadeFiles()
  }
}

/// A namespace, as the controller's thread keeps it.
final class Namespace {
  let id: UInt32
  let file: StorageFile
  let globallyUniqueID: [UInt8]
  let uuid: [UInt8]
  /// Where the size of its blocks is kept; nil where it is not.
  let store: StateStore?
  /// Blocks have 1 << shift bytes.
  var shift: UInt8
  /// Blocks.
  var blocks: UInt64
  /// I/O commands in flight.
  var inFlight = 0
  /// The Format NVM that waits for those, or is under way: it alone ends that.
  var formatting: CommandSlot?
  /// What the engine does with which blocks.
  var claims = BlockClaims()
  /// Whether the controller's thread writes by itself.
  var writing = InlineWriting()
  /// When the log was last told that there is no room.
  var saidFull: UInt64?

  init(
    id: UInt32, _ configuration: NamespaceConfiguration, globallyUniqueID: [UInt8], uuid: [UInt8]
  ) throws(SystemCallError) {
    self.id = id
    store = configuration.store
    file = configuration.file
    shift = UInt8(configuration.usedBlockSize.trailingZeroBitCount)
    self.globallyUniqueID = globallyUniqueID
    self.uuid = uuid
    blocks = try configuration.file.size() >> UInt64(shift)
  }

  var isReadOnly: Bool { file.isReadOnly }
  var isFormatting: Bool { formatting != nil }

  /// Looks how large the file is now.
  ///
  /// - Returns: whether that has changed.
  func measure() -> Bool {
    guard let size = try? file.size() else { return false }
    let new = size >> UInt64(shift)
    defer { blocks = new }
    return new != blocks
  }

  /// Whether it can be formatted to blocks of so many bytes.
  ///
  /// The file has to take them and to hold one, and they have to be there at the next start. Memory is not there then,
  /// nor is what was on it.
  func offers(blockSize: Int) -> Bool {
    let isKept = store?.isWritable == true || file.kind == .memory
    let size = (try? file.size()) ?? 0
    return file.takes(blockSize: blockSize) && size >= UInt64(blockSize)
      && (isKept || blockSize == 1 << Int(shift))
  }

  func use(blockSize: Int) {
    shift = UInt8(blockSize.trailingZeroBitCount)
    _ = measure()
  }

  /// What can be erased, which is more than whole blocks of 4096 bytes.
  var erasableBytes: UInt64 {
    let unit = UInt64(max(512, file.alignment))
    return ((try? file.size()) ?? blocks << UInt64(shift)) / unit * unit
  }
}

extension Namespace {
  /// What Identify says of it.
  var identity: IdentifyNamespace {
    var identity = IdentifyNamespace()
    identity.size = blocks
    identity.capacity = blocks
    let used = (try? file.allocated()) ?? blocks << UInt64(shift)
    identity.utilization = min(blocks, (used + (1 << UInt64(shift)) - 1) >> UInt64(shift))
    identity.features = [.thin, .optimalPerformance]
    identity.formatsZeroBased = UInt8(NamespaceConfiguration.blockSizes.count - 1)
    // A shift of 0 says that there is no such format.
    identity[format: 0] = LBAFormat(
      dataShift: offers(blockSize: 512) ? 9 : 0, relativePerformance: 1)
    identity[format: 1] = LBAFormat(dataShift: offers(blockSize: 4096) ? 12 : 0)
    identity.formattedAs = shift == 9 ? 0 : 1
    // Deallocated blocks read as zeros, and Write Zeroes can deallocate.
    identity.deallocation = 0b1001
    // The host's pages: smaller pieces cannot be given back, and make it read before it writes.
    let perPage = UInt16(truncatingIfNeeded: max(1, 4096 >> UInt32(shift)) - 1)
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
