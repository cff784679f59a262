/// What a host tells a disk and its namespaces from others by.
struct DiskIdentity {
  let serialNumber: String
  /// The namespaces' NGUIDs, in their order.
  let globallyUniqueIDs: [[UInt8]]
  /// The namespaces' UUIDs.
  let uuids: [[UInt8]]
  /// The state in which the controller's own is kept: the first that was used so before, so that a namespace in front
  /// changes nothing; nil where nothing can be kept.
  let home: StateStore?
  /// Whether the disk is another one at each start.
  let isFresh: Bool

  init(_ options: NVMeConfiguration) {
    let stores = options.namespaces.compactMap(\.store).filter(\.isWritable)
    home = stores.first { $0.record.controller != nil } ?? stores.first
    let ids = options.namespaces.indices.map { Self.id(of: $0, in: options) }
    let firstFile = options.namespaces.firstIndex { $0.storage.kind != .memory }
    isFresh = firstFile == nil && options.serialNumber == nil
    let first = home?.record.identity ?? ids[firstFile ?? 0]
    serialNumber = options.serialNumber ?? first.serialNumber
    globallyUniqueIDs = zip(options.namespaces, ids).map { $0.globallyUniqueID ?? $1.bytes }
    uuids = globallyUniqueIDs.map { UniqueID(renaming: $0).bytes }
  }

  /// Who a namespace is, unless its owner says that.
  private static func id(of index: Int, in options: NVMeConfiguration) -> UniqueID {
    let one = options.namespaces[index]
    if let store = one.store, store.isWritable { return store.record.identity }
    guard one.storage.kind != .memory else {
      // Memory is new at each start (but an upgrade is none), and so is its name unless it belongs to a disk that has one.
      guard let serial = options.serialNumber else {
        return UniqueID(of: (one.storage as? StorageFile)?.keptName ?? one.storage.name)
      }
      return UniqueID(of: "memory \(index) of \(serial)")
    }
    let image = one.store?.record.identity.hexadecimal ?? one.storage.identity ?? one.storage.name
    // Several disks at a time may read one file.
    return UniqueID(of: one.storage.isReadOnly ? "\(image) read by \(options.readerName)" : image)
  }
}

extension UniqueID {
  /// A UUID for 16 bytes that somebody has chosen; a UUID stays what it is.
  init(renaming chosen: [UInt8]) {
    // One of another length is refused later.
    let bytes = Array((chosen + [UInt8](repeating: 0, count: 16)).prefix(16))
    let version = bytes[6] >> 4
    let isUUID = (version == 4 || version == 8) && bytes[8] & 0xC0 == 0x80
    self = isUUID ? UniqueID(bytes) ?? .random() : UniqueID(marking: bytes, version: 8)
  }
}
