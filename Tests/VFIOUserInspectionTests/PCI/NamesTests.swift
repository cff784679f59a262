import Foundation
import Testing
import TestSupport
import VFIOUserInspection

@Suite struct `Names from pci.ids` {
  private static let text = """
    # A comment
    1234  Technical Corp.
    \t1111  VGA
    \t5c7c  Scratch
    \t\t1af4 1100  A subsystem
    1af4  Red Hat, Inc.
    \t1000  Virtio network device
    # Classes
    C 01  Mass storage controller
    \t08  Non-Volatile memory controller
    \t\t02  NVM Express
    C 02  Network controller
    \t00  Ethernet controller
    """

  private let names = PCINames(Array(text.utf8))

  @Test func `Vendors, devices and subsystems are found`() {
    #expect(names.vendor(0x1234) == "Technical Corp.")
    #expect(names.device(0x5C7C, of: 0x1234) == "Scratch")
    #expect(names.subsystem(0x1100, 0x1AF4, of: 0x5C7C, 0x1234) == "A subsystem")
  }

  @Test func `A device of another vendor is not found`() {
    #expect(names.device(0x1000, of: 0x1234) == nil)
    #expect(names.vendor(0x1111) == nil)
    #expect(names.subsystem(0x1100, 0x1AF4, of: 0x1111, 0x1234) == nil)
  }

  @Test func `Classes and programming interfaces are found`() {
    #expect(names.deviceClass(base: 0x01, sub: 0x08) == "Non-Volatile memory controller")
    #expect(names.deviceClass(base: 0x01, sub: nil) == "Mass storage controller")
    #expect(names.programmingInterface(0x02, base: 0x01, sub: 0x08) == "NVM Express")
    #expect(names.deviceClass(base: 0x01, sub: 0x00) == nil)
  }

  @Test func `What a terminal would obey is left out of a name`() {
    let names = PCINames(Array("1234  A\u{1B}[31mB\u{7}\n".utf8))
    #expect(names.vendor(0x1234) == "A[31mB")
  }

  @Test(arguments: ["", "1234", "1234 x", "\t", "\n\n\n", "C", "1234  "])
  func `Lines that are something else are skipped`(text: String) {
    #expect(PCINames(Array(text.utf8)).vendor(0x1234) == nil)
  }

  @Test func `The first file that is there is read, and without one there are no names`() throws {
    let folder = try ScratchFolder()
    try Self.text.write(toFile: folder.path("ids"), atomically: true, encoding: .utf8)
    let found = PCINames(paths: ["/nonexistent", folder.path("ids")])
    #expect(found?.vendor(0x1AF4) == "Red Hat, Inc.")
    #expect(PCINames(paths: ["/nonexistent", "/"]) == nil)
  }
}

@Suite struct `A hexadecimal dump` {
  @Test(arguments: [(0, 0), (1, 1), (16, 1), (17, 2)]) func `Lines have 16 bytes`(
    count: Int, lines: Int
  ) {
    #expect(HexDump.lines([UInt8](repeating: 0xAB, count: count)).count == lines)
  }

  @Test func `Printable bytes stand beside the numbers, aligned`() {
    let lines = HexDump.lines(Array("The quick brown fox".utf8), from: 0xF8, showsText: true)
    #expect(lines[0] == "0f8: 54 68 65 20 71 75 69 63 6b 20 62 72 6f 77 6e 20  The quick brown ")
    #expect(lines[1] == "108: 66 6f 78" + String(repeating: " ", count: 39) + "  fox")
  }

  @Test func `Offsets up to the largest are shown`() {
    #expect(HexDump.lines([1], from: .max)[0] == "ffffffffffffffff: 01")
  }

  @Test(arguments: [(4096, 256), (4095, 16), (256, 16), (100, 4)])
  func `Configuration space is dumped in a size that lspci takes`(size: Int, lines: Int) {
    let text = HexDump.configurationSpace(SpaceBuilder(size: 4096).cut(size), title: "Title")
    let all = text.split(separator: "\n")
    #expect(all.count == lines + 1)
    #expect(all[0] == "00:00.0 Title" && all[1].hasPrefix("00: 34 12 78 56"))
    if size == 4096 { #expect(all[17].hasPrefix("100: ") && all[256].hasPrefix("ff0: ")) }
  }
}

extension SpaceBuilder {
  fileprivate func cut(_ size: Int) -> ConfigurationBytes {
    ConfigurationBytes(Array(bytes.prefix(size)))
  }
}
