import Glibc
import SystemPackage
import VFIOUserProgram

extension DiskOptions {
  /// Makes the file of a namespace larger, if a size was asked for; the disk then has to look at it.
  ///
  /// - Throws: ``CommandError`` with the reason.
  func resize(_ request: ResizeParameters) throws {
    guard let text = request.size else { return }
    let size = try ByteCount(text: text).bytes
    let one = try namespace(request.namespace)
    guard let path = one.file else {
      throw CommandError("a disk in memory keeps its size")
    }
    guard one.readOnly != true else { throw CommandError("\(path) is read-only") }
    do {
      let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .closeOnExec)
      try file.closeAfter { try Self.grow(file, path, to: size) }
    } catch let error as Errno {
      throw CommandError("\(path) cannot be made larger: \(error)")
    }
  }

  private func namespace(_ number: Int?) throws -> NamespaceOptions {
    let all = try namespaces()
    guard let number = number ?? (all.count == 1 ? 1 : nil) else {
      throw CommandError("the disk has \(all.count) namespaces: say which one, from 1")
    }
    guard all.indices.contains(number - 1) else {
      throw CommandError("there is no namespace \(number): the disk has 1 to \(all.count)")
    }
    return all[number - 1]
  }

  private static func grow(_ file: FileDescriptor, _ path: String, to size: UInt64) throws {
    var facts = stat()
    // Sound: the structure is lent for the call.
    guard unsafe fstat(file.rawValue, &facts) == 0 else { throw Errno(rawValue: errno) }
    guard facts.st_mode & S_IFMT == S_IFREG else {
      throw CommandError(
        "\(path) is no regular file: give the block device its size where it is made, and then ask without a size"
      )
    }
    guard size >= UInt64(facts.st_size) else {
      throw CommandError(
        "\(path) has \(facts.st_size) bytes: a disk is not made smaller, because its guest would lose what is behind the end"
      )
    }
    guard ftruncate(file.rawValue, off_t(size)) == 0 else { throw Errno(rawValue: errno) }
  }
}
