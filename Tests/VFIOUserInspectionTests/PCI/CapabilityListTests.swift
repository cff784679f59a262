import Testing
import VFIOUserInspection

@Suite struct `A list of capabilities` {
  @Test func `A list is followed from the header to its end`() {
    var builder = SpaceBuilder()
    builder.capability(0x01, at: 0x40, next: 0x50)
    builder.capability(0x05, at: 0x50, next: 0x80)
    builder.capability(0x10, at: 0x80)
    let found = builder.capabilities
    #expect(found.standard.map(\.offset) == [0x40, 0x50, 0x80])
    #expect(found.standard.map(\.name) == ["Power Management", "MSI", "PCI Express"])
    #expect(found.problems.isEmpty)
  }

  @Test func `A device without the bit in its status register has no list`() {
    var builder = SpaceBuilder()
    builder.capability(0x01, at: 0x40)
    builder.put(0, at: 0x06, width: 2)
    #expect(builder.capabilities.standard.isEmpty && builder.capabilities.problems.isEmpty)
  }

  @Test func `A loop ends the list and is said`() {
    var builder = SpaceBuilder()
    builder.capability(0x01, at: 0x40, next: 0x50)
    builder.capability(0x05, at: 0x50, next: 0x40)
    let found = builder.capabilities
    #expect(found.standard.count == 2)
    #expect(
      found.problems
        == ["capabilities: the one at 0x50 says 0x40, where the list was before: it is a loop"])
  }

  @Test(arguments: [0x04, 0x3C] as [UInt64])
  func `A pointer into the header ends the list and is said`(pointer: UInt64) {
    var builder = SpaceBuilder()
    builder.put(pointer, at: 0x34, width: 1)
    #expect(builder.capabilities.standard.isEmpty)
    #expect(builder.capabilities.problems.first?.contains("inside the header") == true)
  }

  @Test func `The two lowest bits of a pointer are ignored`() {
    var builder = SpaceBuilder()
    builder.put(0x43, at: 0x34, width: 1)
    builder.capability(0x01, at: 0x40)
    #expect(builder.capabilities.standard.map(\.offset) == [0x40])
  }

  @Test func `A pointer behind what was read ends the list and is said`() {
    var builder = SpaceBuilder(size: 64)
    builder.put(0x40, at: 0x34, width: 1)
    #expect(builder.capabilities.problems.first?.contains("behind the 64 bytes") == true)
  }

  @Test func `Where a list leads to ones it ends`() {
    var builder = SpaceBuilder()
    builder.capability(0x01, at: 0x40, next: 0x50)
    builder.put(0xFFFF_FFFF, at: 0x50, width: 4)
    let found = builder.capabilities
    #expect(found.standard.count == 1)
    #expect(found.problems == ["capabilities: 0x50 reads as ones, there is none"])
  }

  @Test(arguments: [0, 64, 256, 4096]) func `A space of ones has no capabilities`(size: Int) {
    let found = PCICapabilities(of: ConfigurationBytes([UInt8](repeating: 0xFF, count: size)))
    #expect(found.standard.isEmpty && found.extended.isEmpty)
    #expect(found.problems == ["the space reads as ones: no device answers"])
  }

  @Test func `A capability that the end of the space cuts off keeps the registers that are inside`()
  {
    var builder = SpaceBuilder(size: 256)
    builder.put(0xF8, at: 0x34, width: 1)
    builder.capability(0x11, at: 0xF8)
    let one = builder.capabilities.standard[0]
    #expect(one.registers.map(\.name) == ["Control", "Vector table"])
    #expect(one.problem == "is cut off by the end of the space, from PBA on")
  }

  @Test
  func `A capability at the end of the first 256 bytes does not take bytes of the extended space`()
  {
    var builder = SpaceBuilder()
    builder.put(0xF8, at: 0x34, width: 1)
    builder.capability(0x11, at: 0xF8)
    #expect(builder.capabilities.standard[0].registers.count == 2)
  }

  @Test func `Random bytes are always answered`() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<300 {
      let size = [64, 256, 1000, 4096].randomElement(using: &generator) ?? 64
      var bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }
      bytes[0x06] |= 0x10
      let found = PCICapabilities(of: ConfigurationBytes(bytes))
      #expect(found.standard.count <= 48 && found.extended.count <= 960)
      #expect(found.problems.count <= 2)
    }
  }
}

@Suite struct `A list of extended capabilities` {
  @Test func `The list begins at 0x100`() {
    var builder = SpaceBuilder()
    builder.extended(0x03, at: 0x100, next: 0x200, (4, 0x0011_2233_4455_6677, 8))
    builder.extended(0x0F, at: 0x200)
    let found = builder.capabilities
    #expect(found.extended.map(\.offset) == [0x100, 0x200])
    #expect(found.extended.map(\.version) == [1, 1])
    #expect(found.extended[0].register("Serial")?["number"] == .text("00-11-22-33-44-55-66-77"))
  }

  @Test(arguments: [0, 0xFFFF_FFFF] as [UInt64])
  func `A first header of zeros or ones is an empty list`(header: UInt64) {
    var builder = SpaceBuilder()
    builder.put(header, at: 0x100, width: 4)
    builder.put(0, at: 0x34, width: 1)
    #expect(builder.capabilities.extended.isEmpty && builder.capabilities.problems.isEmpty)
  }

  @Test func `A later header of zeros is said`() {
    var builder = SpaceBuilder()
    builder.extended(0x03, at: 0x100, next: 0x200)
    #expect(builder.capabilities.extended.count == 1)
    #expect(builder.capabilities.problems.last?.contains("0x200 holds none") == true)
  }

  @Test func `A loop ends the list and is said`() {
    var builder = SpaceBuilder()
    builder.extended(0x03, at: 0x100, next: 0x100)
    #expect(builder.capabilities.extended.count == 1)
    #expect(builder.capabilities.problems.last?.contains("it is a loop") == true)
  }

  @Test func `A pointer below 0x100 ends the list and is said`() {
    var builder = SpaceBuilder()
    builder.extended(0x03, at: 0x100, next: 0x40)
    #expect(builder.capabilities.problems.last?.contains("inside the header") == true)
  }

  @Test func `An unknown capability is shown by its ID`() {
    var builder = SpaceBuilder()
    builder.extended(0x0777, at: 0x100)
    #expect(builder.capabilities.extended[0].name == "extended capability 0x0777")
  }

  @Test func `A space of 256 bytes has none`() {
    #expect(SpaceBuilder(size: 256).capabilities.extended.isEmpty)
  }
}
