import Foundation
import Testing
import VFIOUserInspection

@Suite struct `A decoded capability` {
  private func one(_ id: UInt8, _ body: (offset: Int, value: UInt64, width: Int)...)
    -> FoundCapability
  {
    var builder = SpaceBuilder()
    builder.capability(id, at: 0x40)
    for part in body { builder.put(part.value, at: 0x40 + part.offset, width: part.width) }
    return builder.capabilities.standard[0]
  }

  @Test(arguments: [(0, "D0"), (1, "D1"), (2, "D2"), (3, "D3")] as [(UInt64, String)])
  func `The power state is named`(bits: UInt64, name: String) {
    #expect(one(0x01, (4, bits, 2)).register("Status")?["state"] == .text(name))
  }

  @Test(
    arguments: [(0, 8, false), (0x80, 12, false), (0x100, 8, true), (0x180, 12, true)]
      as [(UInt64, Int, Bool)])
  func `The data of MSI stands behind the address, and masks behind it`(
    control: UInt64, data: Int, masks: Bool
  ) {
    let msi = one(0x05, (2, control, 2))
    #expect(msi.register("Data")?.offset == 0x40 + data)
    #expect((msi.register("Masking") != nil) == masks)
    #expect(msi.register("Pending")?.offset == (masks ? 0x40 + data + 8 : nil))
  }

  @Test(arguments: [(0, "1"), (5, "32"), (6, "reserved"), (7, "reserved")] as [(UInt64, String)])
  func `The number of MSI vectors is a power of two`(bits: UInt64, text: String) {
    #expect(one(0x05, (2, bits << 1, 2)).register("Control")?["Count"] == .text(text))
  }

  @Test(arguments: [(0, "1"), (0x7FF, "2048")] as [(UInt64, String)])
  func `The number of MSI-X vectors is one more than the field`(bits: UInt64, text: String) {
    let msix = one(0x11, (2, bits | 0x8000, 2), (4, 0x1003, 4))
    #expect(msix.register("Control")?["Count"] == .text(text))
    #expect(msix.register("Control")?["Enable"] == .flag(true))
    #expect(msix.register("Vector table")?.text == "Vector table: BAR 3, offset 0x00001000")
  }

  @Test(
    arguments: [(0, true, false), (4, true, true), (9, false, false), (10, false, true)]
      as [(UInt64, Bool, Bool)])
  func `A PCI Express port has the registers of its type`(type: UInt64, link: Bool, root: Bool) {
    let express = one(0x10, (2, 2 | type << 4, 2))
    #expect((express.register("LnkCap") != nil) == link)
    #expect((express.register("LnkCap2") != nil) == link)
    #expect((express.register("RootCtl") != nil) == root)
    #expect(express.register("DevCap2") != nil)
  }

  @Test func `The first version of PCI Express has no second registers`() {
    #expect(one(0x10, (2, 1, 2)).register("DevCap2") == nil)
  }

  @Test(arguments: [(0, "128 bytes"), (5, "4096 bytes"), (6, "reserved")] as [(UInt64, String)])
  func `Payload sizes are powers of two`(bits: UInt64, text: String) {
    #expect(one(0x10, (2, 2, 2), (4, bits, 4)).register("DevCap")?["MaxPayload"] == .text(text))
  }

  @Test(arguments: [3, 4, 8, 0xC0, 0xFF] as [UInt64])
  func `The bytes of a vendor-specific capability end with its length, or with the space`(
    length: UInt64
  ) {
    let data = one(0x09, (2, length, 1)).registers.first { $0.name == "Data" }
    let count = min(Int(length), 0xC0) - 3
    let words = (0..<count).map { _ in "00" }.joined(separator: " ")
    #expect(data?["bytes"] == (count > 0 ? .text(words) : nil))
  }

  @Test func `Enhanced Allocation has its entries, as many as fit`() {
    let full = one(0x14, (2, 0x3F, 1), (4, 0x8000_0002, 4), (8, 0xFE00_0000, 4), (12, 0xFFC, 4))
    #expect(full.register("Entry 0")?["base"] == .text("0xfe000000"))
    #expect(full.register("Entry 0")?["Enable"] == .flag(true))
    #expect(full.registers.count <= 1 + 63)
  }

  @Test func `Every ID has an answer`() {
    for id in 0..<255 as Range<UInt8> { #expect(!one(id).name.isEmpty) }
    for id in 0..<0x80 as Range<UInt16> {
      var builder = SpaceBuilder()
      builder.bytes.replaceSubrange(0x104..., with: [UInt8](repeating: 0xA5, count: 4096 - 0x104))
      builder.extended(id, at: 0x100)
      // A header of version 1 with ID 0 is not all zeros.
      #expect(builder.capabilities.extended[0].registers.allSatisfy { !$0.text.isEmpty })
    }
  }

  @Test func `A register is the same after it was JSON, but for the order of its fields`() throws {
    let register = try #require(one(0x11, (2, 0x8003, 2)).register("Control"))
    let copy = try JSONDecoder().decode(DecodedRegister.self, from: JSONEncoder().encode(register))
    #expect(copy.value == register.value && copy.offset == register.offset)
    #expect(Set(copy.fields.map(\.name)) == Set(register.fields.map(\.name)))
    #expect(copy["Enable"] == .flag(true) && copy["Count"] == .text("4"))
  }

  @Test(
    arguments: [(0x3FF, "1023ns"), (0x1401, "33554432ns"), (0x1801, "reserved")]
      as [(UInt64, String)])
  func `A latency has a scale`(bits: UInt64, text: String) {
    var builder = SpaceBuilder()
    builder.extended(0x18, at: 0x100, (4, bits, 2))
    #expect(builder.capabilities.extended[0].register("Max snoop")?["latency"] == .text(text))
  }
}

@Suite struct `The header of configuration space` {
  @Test func `Identity and class are read`() {
    let header = PCIHeader(SpaceBuilder().space)
    #expect((header.vendor, header.device) == (0x1234, 0x5678))
    #expect((header.classCode, header.revision) == (0x010802, 0x03))
  }

  @Test func `A 64-bit base address register takes two places`() {
    var builder = SpaceBuilder()
    builder.put(0xFE00_000C, at: 0x10, width: 4)
    builder.put(0x1, at: 0x14, width: 4)
    builder.put(0xC001, at: 0x18, width: 4)
    let bars = PCIHeader(builder.space).baseAddresses
    #expect(bars.map(\.number) == [0, 2, 3, 4, 5])
    #expect(bars[0].is64Bit && bars[0].isPrefetchable && bars[0].address == 0x1_FE00_0000)
    #expect(bars[1].isPorts && bars[1].address == 0xC000)
  }

  @Test func `A 64-bit register in the last place does not read behind the others`() {
    var builder = SpaceBuilder()
    builder.put(0x4, at: 0x24, width: 4)
    #expect(PCIHeader(builder.space).baseAddresses.last?.is64Bit == false)
  }

  @Test func `A bridge has two base address registers and its buses`() {
    var builder = SpaceBuilder()
    builder.put(0x81, at: 0x0E, width: 1)
    builder.put(0x0003_0201, at: 0x18, width: 4)
    let header = PCIHeader(builder.space)
    #expect(header.baseAddresses.count == 2 && header.isMultifunction)
    #expect(header.registers.first { $0.name == "Bus" }?["subordinate"] == .text("0x03"))
  }

  @Test(arguments: [0, 1, 0x2D]) func `A space that is too short for a header is answered`(
    size: Int
  ) {
    let header = PCIHeader(ConfigurationBytes([UInt8](repeating: 0, count: size)))
    #expect(header.subsystem == .max)
    #expect(header.baseAddresses.count <= 6)
  }
}
