import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `What info says of a device` {
  /// Answers as a plausible device, but for what `answer` takes on itself.
  private func summary(
    _ json: String = ScriptedServer.usualCapabilities, size: UInt64 = 256,
    _ answer: @escaping @Sendable (ScriptedServer, ScriptedServer.Message) -> Bool = { _, _ in false
    }
  ) throws -> DeviceSummary {
    let script = try RunningScript { server in
      try server.agree(json)
      while true {
        let message = try server.receive()
        if answer(server, message) { continue }
        let isSpace = message.command == .deviceGetRegionInfo && message.word(at: 8) == 7
        guard isSpace else {
          server.answer(message)
          continue
        }
        let info = RegionInfo(flags: [.readable, .writable], index: .configuration, size: size)
        server.reply(to: message, bytes(of: info))
      }
    }
    let client = try Client(script.clientEnd, options: .inspecting)
    return try DeviceSummary(of: client)
  }

  @Test func `What the server says of itself is shown, and what is a default`() throws {
    let all = try summary(
      #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":65536,"pgsizes":2101248,"migration":{"pgsize":4096},"new_thing":1}}"#
    )
    let said = all.negotiated
    #expect(said.maxMessageDescriptors == 8 && said.maxDataTransfer == 65536)
    #expect(said.pageSizes == [4096, 2 << 20])
    #expect(said.defaults == ["max_dma_maps", "twin_socket", "write_multiple"])
    #expect(said.unknown == ["new_thing"])
    #expect(said.dirtyPages?.pageSize == 4096)
    #expect(
      all.text.contains("max_msg_fds 8, max_data_xfer_size 64 KiB, max_dma_maps 65535 (default)"))
    #expect(all.text.contains(#"does not know: "new_thing""#))
  }

  @Test func `A device that refuses to be read at once is read by four bytes`() throws {
    let largest = Monitor<UInt32>(0)
    let all = try summary { server, message in
      guard message.command == .regionRead, message.word(at: 12) > 4 else {
        if message.command == .regionRead { largest.update { $0 = max($0, message.word(at: 12)) } }
        return false
      }
      server.reply(to: message, error: 22)
      return true
    }
    #expect(all.configuration.size == 256)
    #expect(largest.withLock { $0 } == 4)
  }

  @Test func `A device that refuses every read is an error`() throws {
    #expect(throws: ClientError.self) {
      try summary { server, message in
        guard message.command == .regionRead else { return false }
        server.reply(to: message, error: 5)
        return true
      }
    }
  }

  @Test(arguments: [255, 256, 4095, 4096, 1 << 40] as [UInt64])
  func `Extended space is read where the region has it`(size: UInt64) throws {
    #expect(try summary(size: size).configuration.size == (size >= 4096 ? 4096 : 256))
  }

  @Test func `A space of ones is said`() throws {
    let all = try summary { server, message in
      guard message.command == .regionRead else { return false }
      let ones = [UInt8](repeating: 0xFF, count: Int(message.word(at: 12)))
      server.reply(to: message, Array(message.payload.prefix(16)) + ones)
      return true
    }
    #expect(all.text.contains("Problem: the space reads as ones: no device answers"))
    #expect(all.capabilities.isEmpty)
  }

  @Test func `Nothing is written, and nothing but questions is asked`() throws {
    let commands = Monitor<Set<UInt16>>([])
    _ = try summary { _, message in
      commands.update { _ = $0.insert(message.command.rawValue) }
      return false
    }
    let allowed: Set<Command> = [
      .deviceGetInfo, .deviceGetRegionInfo, .deviceGetIRQInfo, .regionRead, .deviceFeature,
    ]
    #expect(commands.withLock { $0 }.isSubset(of: allowed.map(\.rawValue)))
  }

  @Test func `The summary is the same after it was JSON`() throws {
    let all = try summary(size: 4096)
    let copy = try JSONDecoder().decode(DeviceSummary.self, from: Data(try all.json().utf8))
    #expect(try copy.json() == all.json())
  }
}

@Suite(.timeLimit(.minutes(1))) struct `The info command on served devices` {
  @Test(arguments: ["scratch", "edu"])
  func `Info shows the device, and leaves its configuration space as it was`(device: String) throws
  {
    let served = try ServedProcess([device])
    let before = try served.run("info", "--hex")
    let shown = try served.run("info")
    #expect(shown.exitCode == 0, "\(shown.errors)")
    #expect(shown.text.contains("Negotiated: max_msg_fds"))
    #expect(shown.text.contains("  Control: I/O- Mem- BusMaster-"))
    #expect(!shown.text.contains("Problem"))
    #expect(try served.run("info", "--hex").output == before.output)
    #expect(before.text.hasPrefix("00:00.0 Class "))
  }

  @Test func `The areas of a region that can be mapped are listed`() throws {
    let run = try ServedProcess(["scratch"]).run("info")
    #expect(run.text.contains("    mappable 0x10000 to 0x2ffff (128 KiB)"))
    #expect(run.text.contains("DevCap: MaxPayload 128 bytes,"))
  }
}
