import Foundation
import TestSupport
import Testing

@Suite(
  .timeLimit(.minutes(1)),
  .enabled(
    if: ["nbdkit", "qemu-img", "nbdcopy"].allSatisfy {
      FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
    }, "it takes nbdkit, qemu-img and nbdcopy: apt-get install nbdkit qemu-utils libnbd-bin"))
struct `A disk that programs reach by NBD` {
  @Test func `Its size is known, and what is written is read back and is on the disk`() throws {
    let disk = try ServedProcess(["nvme", "--memory", "8M", "--block-size", "4096"])
    let (socket, content) = (disk.path("nbd"), disk.path("content"))
    let server = try ChildProcess(
      .builtProgram("vfio-user"), ["nvme", "serve-nbd", disk.socket, "--listen", socket],
      log: disk.path("nbdkit.log"))
    #expect(eventually { isListening(on: socket) || !server.isRunning })
    let uri = "nbd+unix:///?socket=\(socket)"
    let info = try run("qemu-img", "info", "--output=json", uri)
    #expect(info.text.contains("\"virtual-size\": 8388608"), "\(info.errors)\(server.whatItSaid)")
    let bytes = Data((0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 12) })
    try bytes.write(to: URL(filePath: content))
    let written = try run("nbdcopy", "--request-size=4194304", "--flush", content, uri)
    #expect(written.exitCode == 0, "\(written.errors)\(server.whatItSaid)")
    let read = try run("nbdcopy", "--request-size=4194304", uri, disk.path("copy"))
    #expect(read.exitCode == 0, "\(read.errors)\(server.whatItSaid)")
    #expect(try Data(contentsOf: URL(filePath: disk.path("copy"))) == bytes)
    // Without NBD in between.
    let own = try ProgramRun(
      .builtProgram("vfio-user"), ["nvme", "read", disk.socket, "--count", "64K"])
    #expect(own.output == bytes.prefix(64 << 10))
  }

  private func run(_ program: String, _ arguments: String...) throws -> ProgramRun {
    try ProgramRun(URL(filePath: "/usr/bin/\(program)"), arguments)
  }
}
