internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// Moves the data of a run, between the client's memory and a file or a disk in memory.
extension FastPath {
  /// - Returns: whether all of it was moved.
  mutating func move(_ service: borrowing FastService) -> Bool {
    guard let namespace = run.namespace else { return false }
    guard let stripes = namespace.stripes, service.isOneOfSeveral else {
      return move(namespace, service)
    }
    guard stripes.begin(run.offset, run.size, changes: !run.isRead) else {
      stop = .busyBlocks
      return false
    }
    defer { stripes.end(run.offset, run.size, changes: !run.isRead) }
    return move(namespace, service)
  }

  private mutating func move(_ namespace: Namespace, _ service: borrowing FastService) -> Bool {
    guard run.isRead else { return write(namespace) }
    let generations = service.lifeCycle.generations
    guard generations.beginWriting(in: generations.served, by: service.writer) else { return false }
    defer {
      // Also what was written in part.
      pieces.noteWrites(in: windows)
      generations.endWriting(by: service.writer)
    }
    return read(namespace)
  }

  private mutating func read(_ namespace: Namespace) -> Bool {
    let slices = unsafe pieces.all
    if let memory = namespace.memory {
      return unsafe forEachPiece { unsafe memory.read($0, $1, to: $2) }
    }
    guard let file = namespace.file else { return false }
    // Sound: the slices are pinned; the call does not wait.
    let result = unsafe clinux_storage_read(
      file.descriptor.number, slices.baseAddress, Int32(slices.count), run.offset,
      file.isInMemory ? 0 : 1)
    if result == -Int64(EAGAIN) { stop = .missed }
    return result == Int64(run.size)
  }

  private mutating func write(_ namespace: Namespace) -> Bool {
    let slices = unsafe pieces.all
    if let memory = namespace.memory {
      return unsafe forEachPiece { unsafe memory.write($0, $1, from: $2) }
    }
    guard let file = namespace.file else { return false }
    // Sound: as above.
    guard !file.isInMemory else {
      return unsafe BlockingIO.write(slices, to: file, at: run.offset, nowait: false)
        == Int64(run.size)
    }
    let start = Deadline.now
    defer { namespace.writing.took(from: start, to: Deadline.now) }
    return unsafe BlockingIO.write(slices, to: file, at: run.offset, nowait: true)
      == Int64(run.size)
  }

  /// Copies piece after piece, until `copy` returns false.
  ///
  /// - Parameter copy: gets where on the disk, how many bytes, and where in the client's memory.
  /// - Returns: whether it always returned true.
  @unsafe
  private func forEachPiece(_ copy: (UInt64, Int, UnsafeMutableRawPointer) -> Bool) -> Bool {
    var offset = run.offset
    for index in 0..<pieces.count {
      let slice = unsafe pieces.all[index]
      guard let place = unsafe slice.iov_base, unsafe copy(offset, slice.iov_len, place) else {
        return false
      }
      offset += UInt64(unsafe slice.iov_len)
    }
    return true
  }
}
