import ArgumentParser
import CLinux
import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// `vfio-user nvme read`: copies blocks to a file or standard output.
struct NVMeRead: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Copy blocks of a disk to a file, or to standard output.",
    discussion: """
      Prints how much it was and its checksum (CRC-32C) on standard error.

        vfio-user nvme read /tmp/disk.sock --count 512 | xxd | head
        vfio-user nvme read /tmp/disk.sock --output copy.img

      Exit codes: 0 done (also with a warning that interrupts do not arrive), 1 the disk failed or cannot be driven, or \
      the output takes no more, 64 the command line is wrong, 130 ended by Ctrl-C, and the copy is not complete.
      """)

  @OptionGroup var target: NVMeTarget

  @Option(
    help: ArgumentHelp("Where to begin: bytes, whole blocks.", valueName: "size"),
    transform: ByteCount.init(text:))
  var offset = ByteCount(0)

  @Option(
    help: ArgumentHelp("How much; everything behind the offset if left out.", valueName: "size"),
    transform: ByteCount.init(text:))
  var count: ByteCount?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "path"),
    completion: .file())
  var output: String?

  @OptionGroup var driver: NVMeDriving

  @OptionGroup var log: LogOptions

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    let disk = try Disk(target, depth: BlockCopy.depth, transfer: BlockCopy.transfer, driver)
    defer { disk.close() }
    let range = try blockRange(of: disk.namespace, offset, count)
    let file = try output.map(openOutput)
    let copy = try BlockCopy(disk)
    do {
      try driving(target) { try copy.read(range) { try (file ?? .standardOutput).append($0) } }
      // A network file system may report a full disk only here.
      try file?.close()
    } catch Errno.brokenPipe where file == nil {
      // The reader needs no more.
    } catch let error as Errno {
      throw CommandError(
        "\(output ?? "standard output") takes no more: \(error). The copy is not complete.")
    }
    note(copy.report("read"))
    disk.noteLostInterrupts()
    if Interruption.hasCome { throw ExitCode(130) }
  }
}

/// Opens a file for a copy and truncates it, unless it is a disk being served: it may be the one
/// being copied.
func openOutput(_ path: String) throws -> FileDescriptor {
  let file: FileDescriptor
  do {
    file = try FileDescriptor.open(
      FilePath(path), .writeOnly, options: [.create, .closeOnExec],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
  } catch {
    throw CommandError("\(path) cannot be written: \(error)")
  }
  do {
    // Held while the file is open; disks take the same lock. A pipe or terminal cannot be locked.
    let result = clinux_storage_lock(file.rawValue, 1)
    guard result != -Errno.resourceTemporarilyUnavailable.rawValue else {
      throw CommandError("\(path) is a disk that somebody serves. Choose another file.")
    }
    var info = clinux_storage_info()
    // Sound: the result is lent for the duration of the call. Only regular files are truncated.
    if unsafe clinux_storage_inspect(file.rawValue, &info) == 0, info.kind == 1 {
      try file.resize(to: 0)
    }
  } catch {
    try? file.close()
    throw error
  }
  return file
}

extension FileDescriptor {
  fileprivate func append(_ bytes: Span<UInt8>) throws {
    // Sound: the span is valid for the duration of the call.
    _ = try unsafe bytes.withUnsafeBytes { unsafe try writeAll($0) }
  }
}

/// The bytes that a command applies to.
///
/// - Throws: ``CommandError`` if the range is not valid.
func blockRange(
  of namespace: NVMeNamespace, _ offset: ByteCount, _ count: ByteCount?
) throws -> Range<UInt64> {
  let size = namespace.size
  let block = UInt64(namespace.blockSize)
  guard offset.bytes <= size else {
    throw CommandError("the offset is behind the end of the disk, which has \(byteCount(size)).")
  }
  let length = count?.bytes ?? (size - offset.bytes)
  guard length <= size - offset.bytes else {
    throw CommandError(
      "\(length) bytes at \(offset.bytes) do not fit on a disk of \(size) bytes.")
  }
  guard offset.bytes % block == 0, length % block == 0 else {
    throw CommandError("offset and count have to be whole blocks of \(block) bytes.")
  }
  return offset.bytes..<offset.bytes + length
}
