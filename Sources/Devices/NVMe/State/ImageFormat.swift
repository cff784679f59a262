internal import Glibc

/// Formats of files that hold a disk inside, and are none themselves: what a guest found there would be the container.
@nonexhaustive
public enum ImageFormat: String, CaseIterable, Sendable {
  case qcow2, qed, vmdk, vhdx, vhd, vdi, parallels, gzip, xz, zstd, bzip2, zip
  /// A file of ours, with the state of a disk.
  case state

  /// What they are known by: bytes, and where.
  private var marks: [(bytes: [UInt8], offset: Int)] {
    switch self {
    case .qcow2: [(Array("QFI".utf8) + [0xFB], 0)]
    case .qed: [(Array("QED\0".utf8), 0)]
    case .vmdk: [(Array("KDMV".utf8), 0), (Array("COWD".utf8), 0), (Array("# Disk Descr".utf8), 0)]
    case .vhdx: [(Array("vhdxfile".utf8), 0)]
    case .vhd: [(Array("conectix".utf8), 0)]
    case .vdi: [([0x7F, 0x10, 0xDA, 0xBE], 64)]
    case .parallels: [(Array("WithoutFreeSpace".utf8), 0), (Array("WithouFreSpacExt".utf8), 0)]
    case .gzip: [([0x1F, 0x8B, 0x08], 0)]
    case .xz: [([0xFD] + Array("7zXZ\0".utf8), 0)]
    case .zstd: [([0x28, 0xB5, 0x2F, 0xFD], 0)]
    case .bzip2: [(Array("BZh".utf8), 0)]
    case .zip: [(Array("PK".utf8) + [3, 4], 0)]
    case .state: [(StateSlots.magic, 0)]
    }
  }

  /// Looks at the beginning of a file.
  ///
  /// - Returns: nil when it is none of them, as far as can be seen.
  public init?(of file: StorageFile) {
    guard let buffer = try? PageBuffer(size: 4096) else { return nil }
    // Sound: the buffer, aligned for direct I/O too, is lent for the call.
    let count = unsafe pread(file.descriptor.number, buffer.bytes(4096).baseAddress, 4096, 0)
    guard count > 0 else { return nil }
    let head = buffer.withBytes(count) { bytes in bytes.indices.map { bytes[$0] } }
    let isState = try? file.size() == UInt64(StateSlots.fileSize)
    let found = Self.allCases.first { format in
      // All else that begins so is a disk whose guest has had an idea.
      if format == .state, isState != true { return false }
      return format.marks.contains { head.dropFirst($0.offset).starts(with: $0.bytes) }
    }
    guard let found else { return nil }
    self = found
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .gzip, .xz, .zstd, .bzip2, .zip: "unpack it"
    case .state: "name the disk that it belongs to"
    default: "convert it: qemu-img convert -O raw"
    }
  }
}
