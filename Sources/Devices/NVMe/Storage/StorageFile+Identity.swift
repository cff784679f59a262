internal import CLinux
internal import Glibc
package import SystemPackage

extension StorageFile {
  /// ``Storage/identity``; nil where the system does not know of anything.
  ///
  /// The number of a file's inode is given to the next one when the file has gone, so when it was made belongs to
  /// it. The numbers of devices depend on the order in which they were found.
  var foundIdentity: String? {
    guard kind != .memory, let info = try? inspect() else { return nil }
    return kind == .file ? Self.identity(ofFile: info) : Self.identity(ofDevice: info.device)
  }

  /// The same for what is at a path now.
  static func identity(at path: FilePath) -> String? {
    // Sound: the string is lent for the call.
    let number = unsafe path.withPlatformString { unsafe clinux_storage_open($0, 0) }
    guard number >= 0, let info = try? OpenedFile.inspect(OwnedDescriptor(adopting: number))
    else { return nil }
    return info.kind == 1 ? identity(ofFile: info) : identity(ofDevice: info.device)
  }

  private static func identity(ofFile info: clinux_storage_info) -> String? {
    guard info.is_birth_known == 1 else { return nil }
    return "file \(info.inode) made \(info.birth_seconds).\(info.birth_nanoseconds)"
  }

  private static func identity(ofDevice number: UInt64) -> String? {
    let place = "/sys/dev/block/\(clinux_major(number)):\(clinux_minor(number))/"
    guard let partition = read(place + "partition") else { return identity(ofDisk: place) }
    return identity(ofDisk: place + "../").map { "\($0) partition \(partition)" }
  }

  /// Where the kernel says what a block device is; nil for a file.
  package var identityFolder: FilePath? {
    guard kind == .blockDevice, let number = try? inspect().device else { return nil }
    let place = FilePath("/sys/dev/block/\(clinux_major(number)):\(clinux_minor(number))")
    // A partition says it for its disk.
    return Self.read(place.string + "/partition") == nil ? place : place.appending("..")
  }

  /// What volume managers and hardware call themselves.
  private static func identity(ofDisk place: String) -> String? {
    for name in ["dm/uuid", "wwid", "device/wwid", "device/serial"] {
      if let text = read(place + name) { return "\(name) \(text)" }
    }
    guard let file = read(place + "loop/backing_file") else { return nil }
    return "loop \(file) from \(read(place + "loop/offset") ?? "0")"
  }

  /// A line of a kernel file; nil when there is none.
  private static func read(_ path: String) -> String? {
    guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
    else { return nil }
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = try? unsafe bytes.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
    let text = String(decoding: bytes.prefix(count ?? 0), as: UTF8.self)
    let line = text.split(whereSeparator: \.isNewline).first.map(String.init)
    return line?.isEmpty == false ? line : nil
  }
}

extension Storage {
  /// The path without links; as it was opened when it cannot be had.
  var canonicalPath: FilePath? {
    guard let path else { return nil }
    return path.resolved ?? path
  }
}

extension FilePath {
  /// The path without links, if it leads somewhere.
  var resolved: FilePath? {
    // Sound: the string is lent for the call, and what is returned is freed once.
    unsafe withPlatformString { text in
      guard let result = unsafe realpath(text, nil) else { return nil }
      defer { unsafe free(result) }
      return unsafe FilePath(platformString: result)
    }
  }

  /// The same name with something behind it, also if it is no UTF-8.
  func named(_ suffix: String) -> FilePath {
    // Sound: the string is lent for the call, and the array ends with a zero.
    unsafe withPlatformString { text in
      var bytes = unsafe Array(UnsafeBufferPointer(start: text, count: length))
      bytes += suffix.utf8.map { CChar(bitPattern: $0) } + [0]
      return FilePath(platformString: bytes)
    }
  }
}
