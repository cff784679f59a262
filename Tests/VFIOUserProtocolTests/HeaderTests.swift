import Testing
import VFIOUserProtocol

@Suite struct `The message header` {
  private let request = Header(
    id: 0x1234, command: .regionWrite, size: 0x24, flags: .noReply, error: 0)
  private let bytes = hex("3412 0a00 24000000 10000000 00000000")

  @Test func `The message header is encoded to and decoded from 16 bytes`() throws {
    var written = [UInt8](repeating: 0, count: 16)
    var span = written.mutableSpan
    var raw = unsafe span.mutableBytes
    request.encode(into: &raw)
    #expect(written == bytes)
    #expect(try Header(decoding: bytes.span) == request)
  }

  @Test(arguments: 0..<16)
  func `A message header of fewer than 16 bytes is refused`(length: Int) {
    let prefix = Array(bytes[..<length])
    #expect(throws: WireError.truncated(needed: 16, had: length)) {
      _ = try Header(decoding: prefix.span)
    }
  }

  @Test func `A reply header has the id and the command of its request`() {
    #expect(
      request.reply(payload: 16)
        == Header(id: 0x1234, command: .regionWrite, size: 32, flags: .reply))
  }

  @Test func `An error reply header has no payload`() {
    let refusal = request.errorReply(errno: 22)
    #expect(refusal.size == 16 && refusal.error == 22 && refusal.id == request.id)
    #expect(refusal.flags.isReply && refusal.flags.contains(.error))
  }

  @Test(
    arguments: [(0, 0, 0), (0x31, 1, 0), (0x42, 2, 0x40), (0xFFFF_FFFF, 15, 0xFFFF_FFC0)]
      as [(UInt32, UInt32, UInt32)])
  func `The message header separates the type from reserved flags`(
    raw: UInt32, type: UInt32, reserved: UInt32
  ) {
    let flags = MessageFlags(rawValue: raw)
    #expect(flags.type == type && flags.reserved == reserved && flags.isReply == (type == 1))
  }

  @Test(
    arguments: [
      (0, "command 0", nil), (1, "VERSION", .client), (11, "DMA_READ", .server),
      (14, "DIRTY_PAGES", nil), (18, "MIG_DATA_WRITE", .client), (19, "command 19", nil),
      (65535, "command 65535", nil),
    ] as [(UInt16, String, Command.Role?)])
  func `Each command number, known or unknown, has a description and an optional sender`(
    number: UInt16, name: String, sender: Command.Role?
  ) {
    let command = Command(rawValue: number)
    #expect(command.rawValue == number && "\(command)" == name && command.sender == sender)
  }
}
