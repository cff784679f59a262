internal import CLinux
internal import LinuxPrimitives
internal import Logging

extension NVMeConfiguration {
  /// What can be said before anything is made of it.
  ///
  /// - Throws: ``NVMeDevice/ValidationError``, or what the system says of a file.
  func check() throws {
    let limits = [
      ("queues", queues, 1...Self.maxQueues),
      ("queue entries", queueEntries, 2...Self.maxEntries),
      ("namespaces", namespaces.count, 1...Self.maxNamespaces),
      ("threads", threads, 1...64),
      ("workers", workers ?? 1, 1...Self.maxQueues),
      ("characters of the serial number", serialNumber?.utf8.count ?? 1, 1...20),
    ]
    for (what, value, range) in limits where !range.contains(value) {
      throw NVMeDevice.ValidationError.outOfRange(what: what, value: value, range: range)
    }
    try self.limits.check()
    if let serialNumber, !Self.isSound(serialNumber: serialNumber) {
      throw NVMeDevice.ValidationError.serialNumber(serialNumber)
    }
    for one in namespaces {
      guard NamespaceConfiguration.blockSizes.contains(one.blockSize) else {
        throw NVMeDevice.ValidationError.blockSize(one.blockSize)
      }
      // A guest may have chosen the blocks when the file was opened otherwise, or was longer.
      let size = one.usedBlockSize
      guard try one.storage.size() >= UInt64(size) else {
        throw NVMeDevice.ValidationError.empty(one.storage.name)
      }
      guard one.storage.takes(blockSize: size) else {
        throw NVMeDevice.ValidationError.unaligned(
          one.storage.name, blockSize: size, alignment: one.storage.alignment)
      }
      one.warnOfOtherBlocks(logger)
    }
  }

  /// How many threads serve I/O queues at most.
  var usedWorkers: Int {
    guard exports.isEmpty else { return 1 }
    // One processor is the host's, which has to submit what the others carry out.
    return min(workers ?? max(1, Int(clinux_processors()) - 1), queues)
  }

  /// Whether a serial number reaches the guest as it is: the field has ASCII, filled up with blanks.
  public static func isSound(serialNumber text: String) -> Bool {
    text.utf8.allSatisfy { 0x20...0x7E ~= $0 } && text.utf8.first != 0x20
      && text.utf8.last != 0x20
  }

  /// Hosts take only one of two namespaces with the same name, and none for a name.
  func check(_ identity: DiskIdentity) throws {
    var seen: Set<[UInt8]> = []
    for (index, id) in identity.globallyUniqueIDs.enumerated() {
      let isNew = seen.insert(id).inserted
      guard isNew, id.count == 16, id.contains(where: { $0 != 0 }) else {
        throw NVMeDevice.ValidationError.globallyUniqueID(
          namespace: index + 1, UniqueID.hexadecimal(id))
      }
    }
    guard identity.isFresh, !KeptDescriptor.hasPredecessor else { return }
    logger.notice(
      "a disk in memory is a new one at each start; with a serial number it is the same",
      metadata: ["serial number": "\(identity.serialNumber)"])
  }
}
