internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol

/// Memory in place of a client's: files of the sizes that a recording names, all zeros at first.
struct MadeUpMemory {
  /// A file that stands for one of the recorded client's.
  final class File: Sendable {
    let descriptor: OwnedDescriptor
    let size: UInt64

    init(size: UInt64) throws(SystemCallError) {
      let number = unsafe clinux_unsealed_memory_file("vfio-user-replay", size)
      descriptor = OwnedDescriptor(adopting: try checked("memfd_create", number))
      self.size = size
    }
  }

  private struct Window {
    let address: UInt64
    let size: UInt64
    let file: File
    let offset: UInt64
  }

  /// A recording may name sizes that nobody has: the files are sparse, but their number is bounded.
  private static let largestFile: UInt64 = 1 << 46
  private static let mostFiles = 4096

  private var files: [UInt64: File] = [:]
  private var windows: [Window] = []
  private var count = 0

  /// The file in place of a recorded one; the same for the same inode number.
  mutating func file(for note: DescriptorNote, atLeast size: UInt64) throws(SystemCallError) -> File
  {
    let wanted = max(note.size ?? 0, size)
    if let inode = note.inode, let known = files[inode], known.size >= wanted { return known }
    let file = try makeFile(wanted)
    if let inode = note.inode { files[inode] = file }
    return file
  }

  private mutating func makeFile(_ size: UInt64) throws(SystemCallError) -> File {
    guard size <= Self.largestFile, count < Self.mostFiles else {
      throw SystemCallError(call: "memfd_create", code: .fileTooLarge)
    }
    count += 1
    return try File(size: size)
  }

  /// Adds a window; without a file it gets one of its own.
  mutating func map(_ map: DMAMap, _ file: File?) throws(SystemCallError) {
    guard map.size > 0, !map.address.addingReportingOverflow(map.size - 1).overflow else { return }
    let offset = file == nil ? 0 : map.offset
    let file = if let file { file } else { try makeFile(map.size) }
    windows.append(Window(address: map.address, size: map.size, file: file, offset: offset))
  }

  mutating func unmap(_ unmap: DMAUnmap) {
    windows.removeAll {
      unmap.flags.contains(.all) || ($0.address == unmap.address && $0.size == unmap.size)
    }
  }

  /// The bytes at an address; nil if windows do not cover them.
  func read(_ access: DMAAccess) -> [UInt8]? {
    var bytes: [UInt8] = []
    let isCovered = visit(access) { window, inside, range in
      var part = [UInt8](repeating: 0, count: range.count)
      // Sound: no more is read than the array holds. What a truncated file lacks stays zero.
      _ = unsafe clinux_read_at(
        window.file.descriptor.number, &part, part.count, window.offset &+ inside)
      bytes += part
    }
    return isCovered ? bytes : nil
  }

  /// Writes bytes at an address.
  ///
  /// - Returns: whether windows cover them.
  func write(_ access: DMAAccess, _ bytes: Span<UInt8>) -> Bool {
    visit(access) { window, inside, range in
      unsafe bytes.extracting(range).withUnsafeBytes {
        _ = unsafe clinux_write_at(
          window.file.descriptor.number, $0.baseAddress, $0.count, window.offset &+ inside)
      }
    }
  }

  /// Calls `body` for each window's part of an access: offset in the window, and range of the bytes.
  private func visit(
    _ access: DMAAccess, _ body: (Window, UInt64, Range<Int>) -> Void
  ) -> Bool {
    guard access.count <= UInt64(Limits.maxDataTransfer) else { return false }
    var done: UInt64 = 0
    while done < access.count {
      let (address, wraps) = access.address.addingReportingOverflow(done)
      guard !wraps,
        let window = windows.last(where: {
          $0.address <= address && address - $0.address < $0.size
        })
      else { return false }
      let inside = address - window.address
      let count = min(window.size - inside, access.count - done)
      body(window, inside, Int(done)..<Int(done + count))
      done += count
    }
    return true
  }
}
