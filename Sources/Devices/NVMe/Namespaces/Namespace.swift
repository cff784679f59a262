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
  /// NGUID, 16 bytes; nil for one that is made from the serial number.
  public var globallyUniqueID: [UInt8]?

  /// Describes a namespace.
  public init(_ file: StorageFile, blockSize: Int = 512, globallyUniqueID: [UInt8]? = nil) {
    self.file = file
    self.blockSize = blockSize
    self.globallyUniqueID = globallyUniqueID
  }
}

/// A namespace, as the controller's thread keeps it.
final class Namespace {
  let id: UInt32
  let file: StorageFile
  let globallyUniqueID: [UInt8]
  /// What it is called where the state is kept; nil for one that is gone with the process.
  let key: String?
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
    id: UInt32, _ configuration: NamespaceConfiguration, shift: UInt8, uniqueID: [UInt8],
    key: String?
  ) throws(SystemFailure) {
    self.id = id
    self.key = key
    file = configuration.file
    self.shift = shift
    globallyUniqueID = configuration.globallyUniqueID ?? uniqueID
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
    let hasSmall = file.takes(blockSize: 512)
    identity[format: 0] = LBAFormat(dataShift: hasSmall ? 9 : 0, relativePerformance: 1)
    identity[format: 1] = LBAFormat(dataShift: 12)
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
    identity.extendedUniqueID = Array(globallyUniqueID.suffix(8))
    identity.totalCapacity = blocks << UInt64(shift)
    return identity
  }
}
