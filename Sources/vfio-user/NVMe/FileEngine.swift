import Glibc
import KernelRing
import SystemPackage
import VFIOUserProgram

/// A file of the host accessed by io_uring, for comparison with a disk.
@safe
final class FileEngine: BlockEngine {
  let depth: Int
  private let file: FileDescriptor
  private let ring: Ring
  // Sound: allocated in `init` and freed in `deinit`, once no operation is in flight any more; each
  // slot has its own memory.
  private let memory: UnsafeMutableRawBufferPointer
  private let slices: UnsafeMutableBufferPointer<iovec>
  private let transfer: Int

  /// Opens an existing file.
  init(_ path: String, depth: Int, transfer: Int, isWritable: Bool, isDirect: Bool) throws {
    self.depth = depth
    self.transfer = transfer
    ring = try Ring(entries: depth)
    let mode: FileDescriptor.AccessMode = isWritable ? .readWrite : .readOnly
    // O_DIRECT, which swift-system does not define.
    let options = FileDescriptor.OpenOptions(rawValue: isDirect ? 0o40000 : 0)
    do {
      file = try .open(FilePath(path), mode, options: [options, .closeOnExec])
    } catch {
      throw CommandError("\(path) cannot be opened: \(error)")
    }
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: depth * transfer, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    let slices = UnsafeMutableBufferPointer<iovec>.allocate(capacity: depth)
    for slot in 0..<depth {
      let base = unsafe memory.baseAddress.map { unsafe $0 + slot * transfer }
      unsafe slices.initializeElement(
        at: slot, to: iovec(iov_base: base, iov_len: transfer))
    }
    unsafe self.memory = memory
    unsafe self.slices = slices
  }

  deinit {
    // No operation may be in flight when the memory is freed.
    while ring.inFlight > 0, (try? ring.submit(waitingFor: 1)) != nil { ring.take { _ in } }
    try? file.close()
    unsafe memory.deallocate()
    unsafe slices.deallocate()
  }

  /// Size in bytes.
  var size: UInt64 {
    get throws { UInt64(max(0, try file.seek(offset: 0, from: .end))) }
  }

  func start(_ slot: Int, isRead: Bool, at offset: UInt64, count: Int) throws {
    unsafe slices[slot].iov_len = count
    let list = unsafe UnsafeBufferPointer(rebasing: slices[slot..<slot + 1])
    if isRead {
      try unsafe ring.read(file, into: list, at: offset, id: UInt64(slot))
    } else {
      try unsafe ring.write(file, from: list, at: offset, id: UInt64(slot))
    }
  }

  func kick() throws {}

  func wait(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws {
    // Submitting and waiting is one system call.
    try ring.submit(waitingFor: 1)
    ring.take { completion in
      let slot = Int(truncatingIfNeeded: completion.id)
      ended(slot, completion.failure.map { "\($0)" })
    }
  }

  func flush() throws {
    try ring.sync(file, id: .max)
    var isDone = false
    while !isDone {
      try ring.submit(waitingFor: 1)
      ring.take { if $0.id == .max { isDone = true } }
    }
  }

  func fill(_ slot: Int, _ bytes: Span<UInt8>) {
    let place = unsafe UnsafeMutableRawBufferPointer(
      rebasing: memory[(slot * transfer)..<((slot + 1) * transfer)])
    unsafe bytes.withUnsafeBytes { unsafe place.copyMemory(from: $0) }
  }

  func read(_ slot: Int, into bytes: inout MutableRawSpan) {
    let place = unsafe UnsafeRawBufferPointer(
      rebasing: memory[(slot * transfer)..<(slot * transfer + bytes.byteCount)])
    unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyMemory(from: place) }
  }
}
