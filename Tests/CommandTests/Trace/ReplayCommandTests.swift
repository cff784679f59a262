import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite(.timeLimit(.minutes(2))) struct `vfio-user replay` {
  private let program = URL.builtProgram("vfio-user")

  /// Serves a device at a path.
  private func serve(_ path: String, in folder: ScratchFolder) throws -> ChildProcess {
    let process = try ChildProcess(
      program, ["serve", "edu", "--socket", path], log: folder.path("device.log"))
    guard eventually({ isListening(on: path) }) else {
      throw HarnessError("no device\n\(process.whatItSaid)")
    }
    return process
  }

  /// Records a client that uses the device's registers and memory.
  private func record(in folder: ScratchFolder) throws -> String {
    let device = try serve(folder.path("recorded"), in: folder)
    defer { device.kill() }
    let file = folder.path("a.pcapng")
    let trace = try ChildProcess(
      program,
      [
        "trace", "--listen", folder.path("traced"), "--connect", folder.path("recorded"),
        "--write", file, "--once",
      ], log: folder.path("trace.log"))
    #expect(eventually { isListening(on: folder.path("traced")) })
    let client = try Client(connectingTo: FilePath(folder.path("traced")))
    let memory = try SharedMemory(size: 1 << 20)
    try client.map(memory, at: 0x10_0000, size: memory.size)
    // What it has before anybody has written it.
    _ = try client.load(.bar0, at: 4, as: UInt32.self)
    // The register that answers with the complement of what was written.
    try client.store(UInt32(0x1234_5678), .bar0, at: 4)
    #expect(try client.load(.bar0, at: 4, as: UInt32.self) == ~0x1234_5678)
    client.disconnect()
    #expect(try trace.exitCode() == 0)
    return file
  }

  @Test func `A fresh device answers as recorded`() throws {
    let folder = try ScratchFolder()
    let file = try record(in: folder)
    let device = try serve(folder.path("fresh"), in: folder)
    defer { device.kill() }
    let run = try ProgramRun(program, ["replay", file, folder.path("fresh")])
    #expect(run.exitCode == 0, "\(run.text)\(run.errors)")
    #expect(run.text.contains("replies compared: no reply differs\n"))
    let json = try ProgramRun(program, ["replay", file, folder.path("fresh"), "--reset", "--json"])
    #expect(json.exitCode == 0 && json.text.contains("\"equal\" : true"))
  }

  @Test func `A device that was used is reset first when that is wanted`() throws {
    let folder = try ScratchFolder()
    let file = try record(in: folder)
    let device = try serve(folder.path("used"), in: folder)
    defer { device.kill() }
    let client = try Client(connectingTo: FilePath(folder.path("used")))
    try client.store(UInt32(0x8765_4321), .bar0, at: 4)
    client.disconnect()
    let used = try ProgramRun(program, ["replay", file, folder.path("used")])
    #expect(used.exitCode == 1 && used.text.contains(": 1 reply differs\n"), "\(used.text)")
    let reset = try ProgramRun(program, ["replay", file, folder.path("used"), "--reset"])
    #expect(reset.exitCode == 0, "\(reset.text)\(reset.errors)")
    let gone = try ProgramRun(program, ["replay", file, folder.path("none"), "--reset"])
    #expect(gone.exitCode == 1 && gone.errors.contains("cannot be reset"), "\(gone.errors)")
  }

  @Test func `A device that answers otherwise is seen`() throws {
    let folder = try ScratchFolder()
    let file = try record(in: folder)
    // What the recording says of the register is changed.
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
    let answer: [UInt8] = [0x87, 0xA9, 0xCB, 0xED]
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: answer) })
    bytes[place + 1] ^= 0xFF
    try Data(bytes).write(to: URL(filePath: file))
    let device = try serve(folder.path("fresh"), in: folder)
    defer { device.kill() }
    let run = try ProgramRun(program, ["replay", file, folder.path("fresh")])
    #expect(run.exitCode == 1)
    #expect(run.text.contains("REGION_READ bar0: bar0+0x5 is 0xa9 instead of 0x56"), "\(run.text)")
    let masked = try ProgramRun(
      program, ["replay", file, folder.path("fresh"), "--reset", "--mask", "bar0:5"])
    #expect(
      masked.exitCode == 0 && masked.text.contains("no reply differs, except 1 in masked bytes"))
    let ignored = try ProgramRun(
      program, ["replay", file, folder.path("fresh"), "--ignore", "region_read"])
    #expect(ignored.exitCode == 0)
  }
}
