/// A disk's first block, for firmware to boot: it says who it is on the serial port and stops.
///
/// It also reads the disk's second block by the firmware's own driver (INT 13h, function 42h) and says
/// what is at its start, so that more than one block was read when the whole text is there.
enum BootSector {
  /// What has arrived when all went well.
  static let text = "booted from block 0 and block 1"

  /// Both blocks, of 512 bytes.
  static let blocks: [UInt8] = first + second

  private static let second: [UInt8] = padded(Array(" and block 1\r\n".utf8) + [0], 512)

  /// Real mode, loaded at 0x7C00 with the drive's number in DL.
  private static let first: [UInt8] = {
    let code: [UInt8] = [
      0xFA,  // cli
      0x31, 0xC0,  // xor ax, ax
      0x8E, 0xD8,  // mov ds, ax
      0x8E, 0xC0,  // mov es, ax
      0x8E, 0xD0,  // mov ss, ax
      0xBC, 0x00, 0x7C,  // mov sp, 0x7C00
      0xFB,  // sti
      0xBE, 0x40, 0x7C,  // mov si, message
      0xE8, 0x10, 0x00,  // call print
      0xBE, 0x80, 0x7C,  // mov si, packet
      0xB4, 0x42,  // mov ah, 0x42
      0xCD, 0x13,  // int 0x13
      0xBE, 0x00, 0x7E,  // mov si, 0x7E00
      0xE8, 0x03, 0x00,  // call print
      // stop:
      0xF4,  // hlt
      0xEB, 0xFD,  // jmp stop
      // print:
      0x52,  // push dx: the drive's number
      // next:
      0xAC,  // lodsb
      0x84, 0xC0,  // test al, al
      0x74, 0x12,  // jz done
      0x88, 0xC4,  // mov ah, al
      // wait:
      0xBA, 0xFD, 0x03,  // mov dx, 0x3FD (line status)
      0xEC,  // in al, dx
      0xA8, 0x20,  // test al, 0x20 (transmitter empty)
      0x74, 0xF8,  // jz wait
      0x88, 0xE0,  // mov al, ah
      0xBA, 0xF8, 0x03,  // mov dx, 0x3F8
      0xEE,  // out dx, al
      0xEB, 0xE9,  // jmp next
      // done:
      0x5A,  // pop dx
      0xC3,  // ret
    ]
    let message = Array("\r\nbooted from block 0".utf8) + [0]
    // One block, to 0000:7E00, from block 1.
    let packet: [UInt8] = [16, 0, 1, 0, 0x00, 0x7E, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    let block = padded(padded(padded(code, 0x40) + message, 0x80) + packet, 510)
    return block + [0x55, 0xAA]
  }()

  private static func padded(_ bytes: [UInt8], _ size: Int) -> [UInt8] {
    precondition(bytes.count <= size, "\(bytes.count) bytes in the place of \(size)")
    return bytes + Array(repeating: 0, count: size - bytes.count)
  }
}
