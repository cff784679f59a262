/// A whole disk as UEFI firmware wants one to boot from: a FAT16 file system without partitions, with a
/// program of a few bytes as `\EFI\BOOT\BOOTX64.EFI`.
///
/// The program says on the serial port that it runs, and stops.
enum EFIVolume {
  /// What has arrived when all went well.
  static let text = "booted by UEFI"

  private static let sectorSize = 512
  private static let sectors = 16384
  private static let tableSectors = 64
  private static let rootEntries = 512

  /// From the first sector to the last that is not zero.
  static var bytes: [UInt8] {
    let root = [entry("EFI", isFolder: true, cluster: 2)]
    let efi = [entry(".", isFolder: true, cluster: 2), entry("..", isFolder: true, cluster: 0)]
    let boot = [entry(".", isFolder: true, cluster: 3), entry("..", isFolder: true, cluster: 2)]
    let file = entry("BOOTX64", "EFI", isFolder: false, cluster: 4, size: program.count)
    // Clusters 2 and 3 are folders; the program has 4 and 5.
    let table: [UInt16] = [0xFFF8, 0xFFFF, 0xFFFF, 0xFFFF, 5, 0xFFFF]
    return bootSector
      + padded(table.flatMap { little($0) }, tableSectors * sectorSize)
      + padded(root.flatMap { $0 }, rootEntries * 32)
      + padded((efi + [entry("BOOT", isFolder: true, cluster: 3)]).flatMap { $0 }, sectorSize)
      + padded((boot + [file]).flatMap { $0 }, sectorSize)
      + program
  }

  private static var bootSector: [UInt8] {
    let fields: [[UInt8]] = [
      [0xEB, 0x3C, 0x90], Array("VFIOUSER".utf8),
      little(UInt16(sectorSize)), [1], little(UInt16(1)), [1],  // a sector a cluster, one table
      little(UInt16(rootEntries)), little(UInt16(sectors)), [0xF8], little(UInt16(tableSectors)),
      little(UInt16(63)), little(UInt16(16)), little(UInt32(0)), little(UInt32(0)),
      [0x80, 0, 0x29], little(UInt32(0x2A)), Array("NO NAME    ".utf8), Array("FAT16   ".utf8),
    ]
    return padded(fields.flatMap { $0 }, 510) + [0x55, 0xAA]
  }

  private static func entry(
    _ name: String, _ type: String = "", isFolder: Bool, cluster: UInt16, size: Int = 0
  ) -> [UInt8] {
    let name = padded(Array(name.utf8), 8, with: 0x20) + padded(Array(type.utf8), 3, with: 0x20)
    return padded(name + [isFolder ? 0x10 : 0x20], 26) + little(cluster) + little(UInt32(size))
  }

  // MARK: The program: PE32+ with one section, which runs wherever it is loaded

  private static var program: [UInt8] { padded(header, 512) + padded(code, 512) }

  private static var header: [UInt8] {
    let file: [[UInt8]] = [
      padded(Array("MZ".utf8), 0x3C), little(UInt32(0x40)), Array("PE\0\0".utf8),
      little(UInt16(0x8664)), little(UInt16(1)), padded([], 12), little(UInt16(240)),
      little(UInt16(0x22)),
    ]
    let optional: [[UInt8]] = [
      little(UInt16(0x20B)), [0, 0], little(UInt32(512)), padded([], 8),
      little(UInt32(0x1000)), little(UInt32(0x1000)),  // entry point, start of the code
      padded([], 8), little(UInt32(0x1000)), little(UInt32(0x200)), padded([], 16),
      little(UInt32(0x2000)), little(UInt32(0x200)), padded([], 4),  // sizes of image and headers
      little(UInt16(10)), padded([], 38), little(UInt32(16)), padded([], 16 * 8),
    ]
    let section: [[UInt8]] = [
      padded(Array(".text".utf8), 8), little(UInt32(512)), little(UInt32(0x1000)),
      little(UInt32(512)), little(UInt32(512)), padded([], 12), little(UInt32(0xE000_0020)),
    ]
    return (file + optional + section).flatMap { $0 }
  }

  private static let code: [UInt8] =
    [
      0x48, 0x8D, 0x35, 0x1E, 0, 0, 0,  // lea rsi, [text]
      // next:
      0xAC,  // lodsb
      0x84, 0xC0,  // test al, al
      0x74, 0x16,  // jz done
      0x88, 0xC4,  // mov ah, al
      // wait:
      0xBA, 0xFD, 0x03, 0, 0,  // mov edx, 0x3FD (line status)
      0xEC,  // in al, dx
      0xA8, 0x20,  // test al, 0x20 (transmitter empty)
      0x74, 0xF6,  // jz wait
      0x88, 0xE0,  // mov al, ah
      0xBA, 0xF8, 0x03, 0, 0,  // mov edx, 0x3F8
      0xEE,  // out dx, al
      0xEB, 0xE5,  // jmp next
      // done:
      0xF4,  // hlt
      0xEB, 0xFD,  // jmp done
    ] + Array("\r\n\(text)\r\n".utf8) + [0]

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  private static func padded(_ bytes: [UInt8], _ size: Int, with filler: UInt8 = 0) -> [UInt8] {
    precondition(bytes.count <= size, "\(bytes.count) bytes in the place of \(size)")
    return bytes + Array(repeating: filler, count: size - bytes.count)
  }
}
