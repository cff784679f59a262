import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A device whose command register has some bits, and which lets only some be set.
private func device(
  _ initial: UInt16, writable: UInt16 = .max, _ accesses: Notes<[UInt32]>
) throws -> Client {
  try client { server in
    var register = initial
    while true {
      let message = try server.receive()
      let offset = UInt32(truncatingIfNeeded: message.long(at: 0))
      accesses.add([
        UInt32(message.command.rawValue), message.word(at: 8), offset, message.word(at: 12),
      ])
      guard message.command == .regionWrite else {
        let bytes = [UInt8(truncatingIfNeeded: register), UInt8(register >> 8)]
        server.reply(to: message, Array(message.payload.prefix(16)) + bytes)
        continue
      }
      register = UInt16(message.payload[16]) | UInt16(message.payload[17]) << 8
      register &= writable
      server.reply(to: message, Array(message.payload.prefix(16)))
    }
  }
}

@Suite struct `The command register of a device` {
  @Test func `Enabling sets bits of the command register and keeps the others`() throws {
    let client = try device(0x0400, Notes())
    #expect(try client.enable(.memory) == [.memory, .interruptDisable])
    #expect(try client.enable([.memory, .busMaster]).rawValue == 0x0406)
    #expect(try client.enable([]).rawValue == 0x0406)
  }

  @Test func `Enabling by a task sets bits of the command register and keeps the others`()
    async throws
  {
    let client = try device(0x0406, Notes())
    #expect(try await client.enable(.io).rawValue == 0x0407)
    #expect(try await client.enable([]).rawValue == 0x0407)
  }

  @Test func `Enabling says which bits the device has taken`() throws {
    let client = try device(0, writable: 0x0004, Notes())
    #expect(try client.enable([.memory, .busMaster]) == .busMaster)
  }

  @Test func `Enabling accesses two bytes of configuration space, read, write, read`() throws {
    let accesses = Notes<[UInt32]>()
    let client = try device(0, accesses)
    try client.enable(.busMaster)
    let (read, write) = (UInt32(Command.regionRead.rawValue), UInt32(Command.regionWrite.rawValue))
    #expect(accesses.all == [[read, 7, 4, 2], [write, 7, 4, 2], [read, 7, 4, 2]])
  }
}
