import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

/// A payload and the fields that have to be shown.
struct Worded: Sendable, CustomTestStringConvertible {
  let command: Command
  let isReply: Bool
  let payload: [UInt8]
  let text: String

  init(_ command: Command, reply: Bool = false, _ payload: String, _ text: String) {
    self.init(command, reply: reply, bytes: hex(payload), text)
  }

  init(_ command: Command, reply: Bool = false, bytes: [UInt8], _ text: String) {
    self.command = command
    isReply = reply
    payload = bytes
    self.text = text
  }

  var testDescription: String { "\(command)\(isReply ? " reply" : "")" }

  var words: MessageWords {
    MessageWords(
      Header(
        id: 1, command: command, size: UInt32(16 + payload.count), flags: isReply ? .reply : []),
      payload.span)
  }

  static let all: [Worded] = [
    .init(
      .version,
      bytes: version(
        #"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true,"fd_index":0},"odd":1}}"#
      ),
      "version 0.1, capabilities {max_msg_fds 8, twin_socket {supported true, fd_index 0}, unknown odd}"
    ),
    .init(
      .dmaMap, "20000000 03000000 0010000000000000 0000100000000000 0000200000000000",
      "address 0x100000, size 0x200000, offset 0x1000, flags read+write"),
    .init(.dmaMap, reply: true, "", ""),
    .init(
      .dmaUnmap, "18000000 00000000 0000100000000000 0000200000000000",
      "address 0x100000, size 0x200000, flags none"),
    .init(
      .dmaUnmap,
      "30000000 01000000 0000100000000000 0010000000000000 0010000000000000 0800000000000000",
      "address 0x100000, size 0x1000, flags dirty-bitmap, page size 4096, bitmap size 8"),
    .init(.deviceGetInfo, "10000000 00000000 00000000 00000000", "argsz 16"),
    .init(
      .deviceGetInfo, reply: true, "10000000 03000000 09000000 05000000",
      "argsz 16, flags reset+pci, regions 9, interrupt types 5"),
    .init(
      .deviceGetRegionInfo, reply: true,
      """
      40000000 0f000000 00000000 20000000 0080000000000000 0000000000000000
      0100 0100 00000000 01000000 00000000 0010000000000000 0020000000000000
      """,
      "region bar0, argsz 64, size 0x8000, flags read+write+mmap+caps, offset 0x0, sparse areas [{offset 0x1000, size 0x2000}]"
    ),
    .init(
      .deviceGetRegionInfo, "60000000 00000000 07000000 00000000 0000000000000000 0000000000000000",
      "region config, argsz 96"),
    .init(.deviceGetIRQInfo, "10000000 00000000 02000000 00000000", "argsz 16, type MSI-X"),
    .init(
      .deviceGetRegionIOFDs, "38000000 00000000 02000000 00000000", "region bar2, argsz 56"),
    .init(
      .deviceGetRegionIOFDs, reply: true,
      """
      38000000 00000000 02000000 01000000
      0010000000000000 0400000000000000 00000000 00000000 01000000 00000000 0700000000000000
      """,
      "region bar2, argsz 56, count 1, sub-regions [{type ioeventfd, offset 0x1000, size 4, fd_index 0, flags 0x1, value 0x7}]"
    ),
    .init(
      .deviceGetIRQInfo, reply: true, "10000000 09000000 02000000 10000000",
      "argsz 16, type MSI-X, count 16, flags eventfd+noresize"),
    .init(
      .deviceSetIRQs, "14000000 24000000 02000000 03000000 10000000",
      "type MSI-X, action trigger, data eventfd, start 3, count 16"),
    .init(
      .regionRead, "0600000000000000 07000000 02000000",
      "region config, offset 0x6, register status, count 2"),
    .init(
      .regionRead, reply: true, "1c00000000000000 00000000 04000000 01000000",
      "region bar0, offset 0x1c, count 4, data 0x00000001"),
    .init(
      .regionWrite, "0010000000000000 00000000 03000000 aabbcc",
      "region bar0, offset 0x1000, count 3, data aa bb cc"),
    .init(
      .regionWrite, reply: true, "0010000000000000 06000000 04000000",
      "region rom, offset 0x1000, count 4"),
    .init(.dmaRead, "0000100000000000 4000000000000000", "address 0x100000, count 64"),
    .init(
      .dmaRead, reply: true, "0000100000000000 0200000000000000 3412",
      "address 0x100000, count 2, data 0x1234"),
    .init(
      .dmaWrite, "0000100000000000 0200000000000000 3412",
      "address 0x100000, count 2, data 0x1234"),
    .init(.dmaWrite, reply: true, "", ""),
    .init(.dmaWrite, reply: true, "0000100000000000 02000000", "address 0x100000, count 2"),
    .init(.deviceReset, "", ""),
    .init(Command(rawValue: 14), "0102", "payload 0x0201"),
    .init(
      .regionWriteMulti,
      "0100000000000000 0810000000000000 00000000 04000000 ddccbbaa00000000",
      "count 1, writes [{region bar0, offset 0x1008, count 4, data 0xaabbccdd}]"),
    .init(.regionWriteMulti, reply: true, "0200000000000000", "writes 2"),
    .init(
      .deviceFeature, "10000000 01000100", "feature MIGRATION, methods get, argsz 16"),
    .init(
      .deviceFeature, reply: true, "10000000 01000100 0500000000000000",
      "feature MIGRATION, methods get, argsz 16, migration STOP_COPY+PRE_COPY"),
    .init(
      .deviceFeature, "10000000 02000200 03000000 ffffffff",
      "feature MIG_DEVICE_STATE, methods set, argsz 16, state STOP_COPY"),
    .init(
      .deviceFeature,
      "28000000 06000200 0010000000000000 01000000 00000000 0000000001000000 0020000000000000",
      "feature DMA_LOGGING_START, methods set, argsz 40, page size 4096, ranges [{address 0x100000000, length 0x2000}]"
    ),
    .init(
      .deviceFeature, reply: true,
      "28000000 08000100 0000000000000000 0020000000000000 0010000000000000 0300000000000000",
      "feature DMA_LOGGING_REPORT, methods get, argsz 40, address 0x0, length 0x2000, page size 4096, bitmap 0x0000000000000003"
    ),
    .init(.migrationDataRead, "18000000 10000000", "argsz 24, size 16"),
    .init(
      .migrationDataRead, reply: true, "0a000000 02000000 0102", "argsz 10, size 2, data 0x0201"),
    .init(.migrationDataWrite, "0a000000 02000000 0102", "argsz 10, size 2, data 0x0201"),
    .init(.migrationDataWrite, reply: true, "", ""),
    .init(Command(rawValue: 99), "00", "payload 0x00"),
  ]
}

@Suite struct `Messages in words` {
  @Test(arguments: Worded.all)
  func `The fields of a message have their names and values`(one: Worded) {
    let words = one.words
    #expect(words.fields.text == one.text)
    #expect(words.problem == nil)
  }

  @Test(arguments: Worded.all.filter { !$0.payload.isEmpty })
  func `A message that is cut anywhere is described as far as possible`(one: Worded) {
    for length in 0..<one.payload.count {
      let part = Worded(one.command, reply: one.isReply, bytes: Array(one.payload[..<length]), "")
      // Nothing traps, and what was not decoded is shown as bytes.
      let words = part.words
      #expect(words.problem == nil || !words.fields.isEmpty || length == 0)
    }
  }

  @Test func `An error reply names the error`() {
    let header = Header(
      id: 1, command: .regionRead, size: 16, flags: [.reply, .error], error: 22)
    #expect(MessageWords(header, [UInt8]().span).fields.text == "error EINVAL (22)")
  }

  @Test(arguments: [
    (0, 4, "vendor ID+device ID"), (4, 2, "command"), (6, 1, "status"),
    (8, 4, "revision+class code"),
    (0x10, 4, "BAR0"), (0x24, 4, "BAR5"), (0x3C, 2, "interrupt line+interrupt pin"),
  ])
  func `Registers of the configuration header have names`(
    offset: UInt64, count: UInt32, name: String
  ) {
    #expect(Names.configurationRegisters(offset: offset, count: count) == name)
  }

  @Test func `Other places of configuration space have none`() {
    #expect(Names.configurationRegisters(offset: 0x40, count: 4) == nil)
    #expect(Names.configurationRegisters(offset: 0, count: 0) == nil)
    #expect(Names.configurationRegisters(offset: 0, count: 8) == nil)
    #expect(Names.configurationRegisters(offset: .max, count: 4) == nil)
  }

  @Test(arguments: ["bar0", "bar5", "rom", "config", "vga", "region9"])
  func `A region's name is read as it is written`(name: String) {
    #expect(Names.region(named: name).map(Names.region) == name)
    #expect(Names.region(named: name.uppercased()).map(Names.region) == name)
  }

  @Test func `Commands are found by name and number`() {
    #expect(Names.command(named: "region_read") == .regionRead)
    #expect(Names.command(named: "VFIO_USER_DMA_MAP") == .dmaMap)
    #expect(Names.command(named: "device-set-irqs") == .deviceSetIRQs)
    #expect(Names.command(named: "18") == .migrationDataWrite)
    #expect(Names.command(named: "nonsense") == nil)
  }
}
