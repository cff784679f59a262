import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import vfio_user

/// A server of a test at a path, for commands of the program.
private final class ServedScript {
  let socket: String
  private let folder: ScratchFolder

  /// Serves one client after the other, each with a script.
  init(_ script: @escaping @Sendable (ScriptedServer) throws -> Void) throws {
    folder = try ScratchFolder()
    socket = folder.path("device")
    let listener = try ListeningSocket(path: FilePath(socket))
    try DetachedThread.start("script") {
      while let client = try? listener.accept() {
        let server = ScriptedServer(MessageSocket(adopting: client))
        try? script(server)
        server.socket.shutdown()
      }
    }
  }

  func run(_ command: String, _ arguments: String...) throws -> ProgramRun {
    try ProgramRun(
      .builtProgram("vfio-user"), [command, socket] + arguments, within: .seconds(30))
  }
}

@Suite(.timeLimit(.minutes(1))) struct `Commands on a server of a test` {
  @Test func `A watch shows each change`() throws {
    let count = Monitor<UInt8>(0)
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        guard message.command == .regionRead else {
          server.answer(message)
          continue
        }
        // 0, 0, 1, 1, 2, ...
        let value = count.withLock { count in
          defer { count += 1 }
          return count / 2
        }
        server.reply(to: message, Array(message.payload.prefix(16)) + [value, 0, 0, 0])
      }
    }
    let run = try served.run(
      "read", "bar0", "0", "--watch", "--interval", "0.001", "--repeat", "6")
    let lines = run.text.split(separator: "\n")
    #expect(run.exitCode == 0 && lines.count == 3, "\(run.text)\(run.errors)")
    #expect(lines.first == "0x00000000")
    #expect(lines.last?.hasSuffix("0x00000001 -> 0x00000002") == true)
  }

  @Test func `A block is split to what the server takes with one message`() throws {
    let largest = Monitor<UInt32>(0)
    let served = try ServedScript { server in
      try server.agree(#"{"capabilities":{"max_data_xfer_size":512}}"#)
      while true {
        let message = try server.receive()
        if message.command == .regionRead || message.command == .regionWrite {
          largest.update { $0 = max($0, message.word(at: 12)) }
        }
        server.answer(message)
      }
    }
    let read = try served.run("read", "bar0", "0", "--count", "3000", "--output", "-")
    #expect(read.output == Data(ScriptedServer.pattern(at: 0, count: 3000)))
    #expect(largest.withLock { $0 } == 512)
    let input = "/proc/version"
    #expect(try served.run("write", "bar0", "0", "--input", input).exitCode == 0)
    #expect(largest.withLock { $0 } <= 512)
  }

  @Test func `A reset is not sent to a device that says that it has none`() throws {
    let commands = Monitor<[Command]>([])
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        commands.update { $0.append(message.command) }
        let info = DeviceInfo(flags: .pci, regionCount: 9, interruptTypeCount: 5)
        if message.command == .deviceGetInfo {
          server.reply(to: message, bytes(of: info))
        } else {
          server.answer(message)
        }
      }
    }
    let without = try served.run("reset")
    #expect(without.exitCode == 1 && without.errors.contains("--unchecked"), "\(without.errors)")
    #expect(!commands.withLock { $0.contains(.deviceReset) })
    #expect(try served.run("reset", "--unchecked").exitCode == 0)
    #expect(commands.withLock { $0.contains(.deviceReset) })
  }

  @Test func `A server that does not answer in time is an error`() throws {
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        if message.command != .deviceReset { server.answer(message) }
      }
    }
    let run = try served.run("reset", "--reply-timeout", "0.1")
    #expect(run.exitCode == 1 && run.errors.contains("in time"), "\(run.errors)")
  }

  @Test func `A server that ends the connection has rows that were not measured`() throws {
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        guard message.command != .regionWrite, message.command != .deviceSetIRQs else { return }
        server.answer(message)
      }
    }
    let run = try served.run("bench", "--seconds", "0.01", "--only", "bytes", "--only", "1 byte")
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(
      run.text.contains(
        "write 1 byte, 64 posted writes of 1 byte, then a read: connection lost"))
    #expect(run.text.contains("  read 4 bytes, 64 at a time"))
  }

  @Test func `A server that answers posted writes is measured all the same`() throws {
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        guard message.command == .regionWrite else {
          server.answer(message)
          continue
        }
        server.reply(to: message, Array(message.payload.prefix(16)))
      }
    }
    let run = try served.run("bench", "--seconds", "0.01", "--only", "posted", "--json")
    #expect(run.exitCode == 0 && !run.text.contains("skipped"), "\(run.text)\(run.errors)")
  }

  /// Everything succeeds, and no eventfd is ever signalled.
  private func silent() throws -> ServedScript {
    try ServedScript { server in
      try server.agree()
      try server.serve()
    }
  }

  @Test func `A trigger that signals no eventfd is a failure of the bench`() throws {
    let served = try silent()
    let run = try served.run("bench", "--seconds", "0.01", "--only", "SET_IRQS")
    let line = "SET_IRQS trigger, to its eventfd: \(served.socket): no interrupt came within 2 s"
    #expect(run.exitCode == 1 && run.errors.contains(line), "\(run.errors)")
    #expect(run.text.contains("failed:\n  \(line)"), "\(run.text)")
  }

  @Test func `A wait in which nothing came ends with what to do next`() throws {
    let run = try silent().run("irq", "--trigger", "0", "--timeout", "0.1")
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.errors.contains("was told to signal") && run.errors.contains("--only irqs"))
  }

  /// Has an MSI-X capability at 0x40, and answers that it has so many MSI-X vectors.
  private func withMSIX(vectors: UInt32) throws -> ServedScript {
    var space = [UInt8](repeating: 0, count: 4096)
    (space[0x06], space[0x34], space[0x40]) = (0x10, 0x40, 0x11)
    return try ServedScript { [space] server in
      try server.agree()
      while true {
        let message = try server.receive()
        let place = Int(message.long(at: 0))
        if message.command == .deviceGetIRQInfo, message.word(at: 8) == 2 {
          let info = InterruptInfo(flags: .eventDescriptors, index: .msix, count: vectors)
          server.reply(to: message, bytes(of: info))
        } else if message.command == .regionRead, place < 4096 {
          let end = min(4096, place + Int(message.word(at: 12)))
          server.reply(to: message, message.payload + space[place..<end])
        } else {
          server.answer(message)
        }
      }
    }
  }

  @Test(arguments: [0, 1] as [UInt32])
  func `A type that is not the best of configuration space is said`(vectors: UInt32) throws {
    let run = try withMSIX(vectors: vectors).run("irq", "--timeout", "0.1")
    #expect(run.exitCode == 0, "\(run.errors)")
    let isSaid = run.errors.contains("waiting for MSI: configuration space has MSI-X")
    #expect(isSaid == (vectors == 0), "\(run.errors)")
  }

  @Test func `An access that is refused is said with the offset in hexadecimal`() throws {
    let served = try ServedScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        guard message.command == .regionRead else {
          server.answer(message)
          continue
        }
        server.reply(to: message, error: 22)
      }
    }
    let run = try served.run("read", "bar0", "0x40")
    #expect(run.exitCode == 1 && run.errors.contains("4 bytes at 0x40 of"), "\(run.errors)")
  }
}
