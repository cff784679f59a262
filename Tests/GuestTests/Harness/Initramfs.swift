/// The root file system of a guest: a cpio archive in the format "newc", which the kernel unpacks.
///
/// Written here, since `cpio` is not on every machine. Devices need no entries: the guest mounts
/// devtmpfs.
struct Initramfs {
  private(set) var bytes: [UInt8] = []
  private var inode = 0

  /// The bits of `st_mode` that say what an entry is.
  private enum Kind: Int {
    case folder = 0o040000
    case file = 0o100000
  }

  mutating func addFolder(_ name: String) {
    add(name, mode: Kind.folder.rawValue | 0o755, [])
  }

  mutating func addFile(_ name: String, _ content: [UInt8], isExecutable: Bool = false) {
    add(name, mode: Kind.file.rawValue | (isExecutable ? 0o755 : 0o644), content)
  }

  /// The archive with its end mark.
  consuming func finished() -> [UInt8] {
    add("TRAILER!!!", mode: 0, [])
    return bytes
  }

  private mutating func add(_ name: String, mode: Int, _ content: [UInt8]) {
    inode += 1
    let nameSize = name.utf8.count + 1
    // inode, mode, uid, gid, links, mtime, size, device (2), device of a node (2), name, checksum
    let fields = [inode, mode, 0, 0, 1, 0, content.count, 0, 0, 0, 0, nameSize, 0]
    bytes += "070701".utf8
    for field in fields { bytes += Self.hexadecimal(field).utf8 }
    bytes += name.utf8
    bytes.append(0)
    pad()
    bytes += content
    pad()
  }

  /// Names and contents begin and end at multiples of four.
  private mutating func pad() {
    while !bytes.count.isMultiple(of: 4) { bytes.append(0) }
  }

  private static func hexadecimal(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}
