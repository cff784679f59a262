internal import SystemPackage

/// A namespace; belongs to the thread that has the controller's turn, and only changes while workers stand still.
final class Namespace {
  let id: UInt32
  /// What it is made of.
  let storage: Storage
  /// Its bytes, where they are in memory of ours.
  let memory: DiskMemory?
  /// Its file, where it is one.
  let file: StorageFile?
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
  /// The Format NVM that waits for those or is in progress; only its end resets this.
  var formatting: CommandSlot?
  /// The blocks that the engine reads or writes.
  var claims = BlockClaims()
  /// Whether threads that serve queues write themselves.
  let writing = InlineWriting()
  /// Keeps threads apart that carry out commands at once; nil when there is one.
  let stripes: BlockStripes?
  /// When the log last had a line about a lack of room.
  var saidFull: UInt64?

  init(
    id: UInt32, _ configuration: NamespaceConfiguration, globallyUniqueID: [UInt8], uuid: [UInt8],
    isShared: Bool = false
  ) throws(SystemCallError) {
    self.id = id
    store = configuration.store
    storage = configuration.storage
    file = configuration.storage as? StorageFile
    memory = file?.memory
    shift = UInt8(configuration.usedBlockSize.trailingZeroBitCount)
    self.globallyUniqueID = globallyUniqueID
    self.uuid = uuid
    stripes = isShared ? BlockStripes() : nil
    blocks = try configuration.storage.size() >> UInt64(shift)
  }

  var isReadOnly: Bool { storage.isReadOnly }
  var isFormatting: Bool { formatting != nil }

  /// Measures what it is made of.
  ///
  /// - Returns: whether that has changed.
  func measure() -> Bool {
    guard let size = try? storage.size() else { return false }
    let new = size >> UInt64(shift)
    defer { blocks = new }
    return new != blocks
  }

  /// Whether it can be formatted to blocks of so many bytes.
  ///
  /// The storage must support and hold such a block, and the size must survive a restart. Memory does not survive
  /// one, so its block size need not.
  func offers(blockSize: Int) -> Bool {
    let isKept = store?.isWritable == true || storage.kind == .memory
    let size = (try? storage.size()) ?? 0
    return storage.takes(blockSize: blockSize) && size >= UInt64(blockSize)
      && (isKept || blockSize == 1 << Int(shift))
  }

  func use(blockSize: Int) {
    shift = UInt8(blockSize.trailingZeroBitCount)
    _ = measure()
  }

  /// The bytes that Format NVM erases: also those behind the last whole block of 4096 bytes.
  var erasableBytes: UInt64 {
    let unit = UInt64(max(512, storage.alignment))
    return ((try? storage.size()) ?? blocks << UInt64(shift)) / unit * unit
  }
}
