import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

/// A device whose configuration space a client reads, and then its registers.
private struct Reader {
  var conversation = Conversation()
  /// An NVMe controller with MSI at 0x40, in 64-bit form with mask bits, and MSI-X of 17 at 0x60.
  var space: [UInt8] = {
    var space = [UInt8](repeating: 0, count: 256)
    space[0x06] = 0x10
    space.replaceSubrange(0x09...0x0B, with: [0x02, 0x08, 0x01])
    space[0x34] = 0x40
    space.replaceSubrange(0x40...0x43, with: [0x05, 0x60, 0x80, 0x01])
    space.replaceSubrange(0x60...0x63, with: [0x11, 0x00, 16, 0x80])
    return space
  }()

  /// Reads a region, and returns the reply.
  @discardableResult
  mutating func read(_ region: RegionIndex, _ offset: UInt64, _ data: [UInt8]) -> CheckedMessage {
    let access = bytes(
      of: RegionAccess(offset: offset, region: region, count: UInt32(data.count)))
    _ = conversation.command(.regionRead, access)
    return conversation.reply(.regionRead, access + data)
  }

  @discardableResult
  mutating func readSpace() -> CheckedMessage { read(.configuration, 0, space) }

  /// The name of the register that a command of 4 bytes is about.
  mutating func name(_ region: RegionIndex, _ offset: UInt64, count: UInt32 = 4) -> String? {
    let access = bytes(of: RegionAccess(offset: offset, region: region, count: count))
    let checked = conversation.command(.regionRead, id: 9, access)
    let value = checked.words.fields.first { $0.name == "register" }?.value
    guard case .word(let name)? = value else { return nil }
    return name
  }

  mutating func askForVectors(_ count: UInt32) -> CheckedMessage {
    let ask = bytes(of: InterruptInfo(flags: [], index: .msix, count: 0))
    _ = conversation.command(.deviceGetIRQInfo, ask)
    return conversation.reply(
      .deviceGetIRQInfo, bytes(of: InterruptInfo(flags: [], index: .msix, count: count)))
  }
}

@Suite struct `What a client has read of its device` {
  @Test(
    arguments: [
      (0x00, 8, "CAP"), (0x08, 4, "VS"), (0x14, 4, "CC"), (0x1C, 4, "CSTS"), (0x24, 4, "AQA"),
      (0x2C, 4, "ASQ"), (0x30, 8, "ACQ"), (0x1000, 4, "SQ0TDBL"), (0x1004, 4, "CQ0HDBL"),
      (0x101C, 4, "CQ3HDBL"), (0x1002, 4, nil), (0x18, 4, nil), (0x20_0000, 4, nil),
      (.max, 4, nil), (0x00, 64, nil), (0x00, 0, nil),
    ] as [(UInt64, UInt32, String?)])
  func `Registers of an NVMe controller have names`(offset: UInt64, count: UInt32, name: String?) {
    var reader = Reader()
    #expect(reader.name(.bar0, 0x14) == nil)
    reader.readSpace()
    #expect(reader.name(.bar0, offset, count: count) == name)
    #expect(reader.name(.bar2, offset, count: count) == nil)
  }

  @Test func `A controller says how far its doorbells are apart`() {
    var reader = Reader()
    reader.readSpace()
    reader.read(.bar0, 0, [0, 0, 0, 0, 2, 0, 0, 0])
    #expect(reader.name(.bar0, 0x1010) == "CQ0HDBL" && reader.name(.bar0, 0x1004) == nil)
  }

  @Test func `Registers of other devices have none`() {
    var reader = Reader()
    reader.space[0x0A] = 0x00
    reader.readSpace()
    #expect(reader.name(.bar0, 0x14) == nil)
  }

  @Test(
    arguments: [
      (0x62, "MSI-X message control"), (0x64, "MSI-X table"), (0x68, "MSI-X PBA"), (0x6C, nil),
      (0x42, "MSI message control"), (0x48, "MSI message upper address"),
      (0x4C, "MSI message data"), (0x50, "MSI mask bits"), (0x54, "MSI pending bits"), (0x58, nil),
      (.max, nil),
    ] as [(UInt64, String?)])
  func `Registers of MSI and MSI-X have names`(offset: UInt64, name: String?) {
    var reader = Reader()
    #expect(reader.name(.configuration, offset, count: 2) == nil)
    reader.readSpace()
    #expect(reader.name(.configuration, offset, count: 2) == name)
  }

  @Test func `A list of capabilities with a loop ends`() {
    var reader = Reader()
    reader.space[0x61] = 0x40
    reader.readSpace()
    #expect(reader.name(.configuration, 0x62, count: 2) == "MSI-X message control")
  }

  @Test(arguments: [16, 17, 18] as [UInt32], [true, false])
  func `As many MSI-X as the capability has are right`(count: UInt32, isReadFirst: Bool) {
    var reader = Reader()
    let findings: [Violation]
    if isReadFirst {
      #expect(reader.readSpace().violations == [])
      findings = reader.askForVectors(count).violations
    } else {
      #expect(reader.askForVectors(count).violations == [])
      findings = reader.readSpace().violations
    }
    #expect(findings.isEmpty == (count == 17))
    #expect(
      findings.allSatisfy { $0.text.contains("\(count) MSI-X, the capability") }, "\(findings)")
    #expect(reader.readSpace().violations == [], "said once")
  }
}
