internal import Glibc
internal import Logging

extension StorageFile {
  /// The size of the blocks that a partition table (GPT, whose header is block 1) was made for; nil for none.
  var blockSizeOfPartitions: Int? {
    guard let buffer = try? PageBuffer(size: 8192) else { return nil }
    // Sound: the buffer, aligned for direct I/O too, is lent for the call.
    let count = unsafe pread(descriptor.number, buffer.bytes(8192).baseAddress, 8192, 0)
    guard count == 8192 else { return nil }
    let mark = Array("EFI PART".utf8)
    return buffer.withBytes(count) { bytes in
      NamespaceConfiguration.blockSizes.first { size in
        mark.indices.allSatisfy { bytes[size + $0] == mark[$0] }
      }
    }
  }
}

extension NamespaceConfiguration {
  /// Says so when the partitions of a disk cannot be found: it came without its state, for example.
  func warnOfOtherBlocks(_ logger: Logger) {
    guard let file = storage as? StorageFile, file.kind != .memory, !file.wasMade,
      let size = file.blockSizeOfPartitions,
      size != usedBlockSize
    else { return }
    logger.warning(
      "the partition table is for blocks of another size, and a guest will not find its partitions; is the state of another image beside it, or missing? --block-size says what it has to be without one",
      metadata: [
        "file": "\(file.name)", "block size": "\(usedBlockSize)", "of the table": "\(size)",
      ])
  }
}
