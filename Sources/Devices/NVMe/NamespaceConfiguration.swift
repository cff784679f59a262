/// A namespace as its owner describes it.
public struct NamespaceConfiguration: Sendable {
  /// The sizes of blocks that a namespace can be formatted to.
  public static let blockSizes = [512, 4096]

  /// What it is made of.
  public var storage: Storage
  /// Bytes of a block until it is formatted otherwise: 512 or 4096.
  public var blockSize: Int
  /// NGUID, 16 bytes; nil for one that is made once and kept.
  public var globallyUniqueID: [UInt8]?
  /// Where is kept what a host makes of it; nil where nothing can be kept.
  public var store: StateStore?

  /// Describes a namespace.
  public init(_ storage: Storage, blockSize: Int = 512, globallyUniqueID: [UInt8]? = nil) {
    self.storage = storage
    self.blockSize = blockSize
    self.globallyUniqueID = globallyUniqueID
  }

  /// The size of its blocks: what a host has formatted it to, else what its owner says.
  var usedBlockSize: Int { store?.record.blockSize ?? blockSize }

  /// Removes what was made just now for a disk that cannot be had.
  public func removeMadeFiles() {
    store?.removeMadeFiles()
    (storage as? StorageFile)?.removeMadeFiles()
  }
}
