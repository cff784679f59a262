internal import Logging
internal import NVMeProtocol

/// All namespaces of a controller; their number is fixed.
struct Namespaces {
  let all: [Namespace]

  init(_ options: NVMeConfiguration, _ identity: DiskIdentity) throws {
    all = try options.namespaces.enumerated().map { index, one in
      if one.usedBlockSize != one.blockSize {
        options.logger.notice(
          "a guest has formatted a namespace, which counts",
          metadata: [
            "file": "\(one.storage.name)", "block size": "\(one.usedBlockSize)",
            "instead of": "\(one.blockSize)",
          ])
      }
      return try Namespace(
        id: UInt32(index + 1), one, globallyUniqueID: identity.globallyUniqueIDs[index],
        uuid: identity.uuids[index],
        isShared: options.usedWorkers > 1)
    }
  }

  /// The namespace with a number, which start at 1.
  subscript(_ id: UInt32) -> Namespace? {
    guard id >= 1, Int(id) <= all.count else { return nil }
    return all[Int(id) - 1]
  }

  /// The namespace of a command.
  func named(_ id: UInt32) throws(CommandError) -> Namespace {
    guard let namespace = self[id] else { throw Self.unknown }
    return namespace
  }

  /// The index of the first from `next` on that can be written, else the number of all.
  func writable(from next: Int) -> Int {
    var next = next
    while next < all.count, all[next].isReadOnly { next += 1 }
    return next
  }

  static let unknown = CommandError(Status.invalidNamespace.final, byte: 4)
}
