import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

@testable import vfio_user

/// `vfio-user nvme ...` against `vfio-user serve nvme`, each a process of its own.
@Suite(.timeLimit(.minutes(5))) struct `The commands that drive a disk` {
  /// Bytes that are not the same anywhere.
  private static func random(_ count: Int) -> Data {
    Data((0..<count).map { _ in UInt8.random(in: .min ... .max) })
  }

  private func run(
    _ command: String, _ disk: NVMeDisk, _ arguments: String..., input: String? = nil
  ) throws -> ProgramRun {
    try ProgramRun(["nvme", command, disk.device.socket] + arguments, input: input)
  }

  @Test func `The identify command describes a disk as text and as JSON`() throws {
    let disk = try NVMeDisk(megabytes: 64, serial: "DRIVEN-1")
    let run = try run("identify", disk)
    #expect(run.exitCode == 0, "\(run.errors)")
    for part in ["serial DRIVEN-1", "Namespace 1: 64 MiB, 131072 blocks of 512 bytes"] {
      #expect(run.text.contains(part), "\(run.text)")
    }
    let programs = try self.run("identify", disk, "--json")
    #expect(programs.exitCode == 0)
    let summary: DiskSummary = try programs.decoded()
    #expect(summary.serial == "DRIVEN-1")
    #expect(summary.versionRegister == "0x00010400" && summary.lostInterrupts == [])
    #expect(run.text.contains("CAP \(summary.capabilityRegister), VS 0x00010400"))
    #expect(summary.queues == 16)
    #expect(summary.maxQueue == 1024)
    #expect(summary.hasVolatileCache)
    #expect(summary.commands.contains("doorbell buffer"))
    let space = try #require(summary.namespaces.first)
    #expect(summary.namespaces.count == 1)
    #expect((space.id, space.blocks, space.blockSize) == (1, 131_072, 512))
    #expect(space.formats == [512, 4096])
    #expect(!space.isReadOnly)
  }

  @Test func `The write and read commands transfer a file with equal checksums`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let scratch = try ScratchFolder()
    let (source, copy) = (scratch.path("source"), scratch.path("copy"))
    let data = Self.random(1_500_160)
    try data.write(to: URL(filePath: source))
    let write = try run("write", disk, "--offset", "1M", "--input", source)
    #expect(write.exitCode == 0, "\(write.errors)")
    #expect(write.output.isEmpty)
    let sum = "CRC-32C \(hex(CRC32C.of(Array(data).span), 8))"
    #expect(write.errors.contains("written and flushed, \(sum)"), "\(write.errors)")
    // The file on the host has it, at its place and nowhere else.
    let content = try Data(contentsOf: URL(filePath: disk.file))
    #expect(content[(1 << 20)..<(1 << 20) + data.count] == data)
    #expect(content[..<(1 << 20)].allSatisfy { $0 == 0 })
    #expect(content[((1 << 20) + data.count)...].allSatisfy { $0 == 0 })
    let read = try run(
      "read", disk, "--offset", "1M", "--count", "\(data.count)", "--output", copy)
    #expect(read.exitCode == 0)
    #expect(read.errors.contains("read, \(sum)"), "\(read.errors)")
    #expect(try Data(contentsOf: URL(filePath: copy)) == data)
  }

  @Test func `The write command reads standard input and pads it, and read writes standard output`()
    throws
  {
    let disk = try NVMeDisk(megabytes: 1, blockSize: 4096)
    let scratch = try ScratchFolder()
    let data = Self.random(5000)
    try data.write(to: URL(filePath: scratch.path("source")))
    let write = try run("write", disk, input: scratch.path("source"))
    #expect(write.exitCode == 0, "\(write.errors)")
    let read = try run("read", disk, "--count", "8K", "--poll", "--no-shadow-doorbells")
    #expect(read.exitCode == 0, "\(read.errors)")
    #expect(read.output == data + Data(count: 8192 - 5000))
    #expect(try run("read", disk).output.count == 1 << 20)
  }

  @Test func `The bench command reports the queue depth at which it measures`() throws {
    let disk = try NVMeDisk(megabytes: 16, options: ["--queue-entries", "4"])
    let run = try run("bench", disk, "--seconds", "0.1", "--depth", "32", "--json")
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(try run.decoded(BenchReport.self).workload.hasSuffix("depth 3"))
    #expect(run.errors.contains("take 3 operations at a time, not 32"), "\(run.errors)")
  }

  @Test func `The bench command reports that the device process has ended`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let scratch = try ScratchFolder()
    let bench = try ChildProcess(
      GuestEnvironment.program, ["nvme", "bench", disk.device.socket, "--seconds", "600"],
      log: scratch.path("bench.log"))
    // The driver's memory is there: versions were agreed on.
    try #require(eventually { disk.device.process.memoryFileMappingCount > 0 })
    disk.device.kill()
    #expect(try bench.exitCode() == 1)
    #expect(bench.whatItSaid.contains("is gone: its process has ended"), "\(bench.whatItSaid)")
  }

  @Test func `The bench command measures a disk alone and leaves its content as it is`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    try disk.write([UInt8](Self.random(65536)))
    let before = try Data(contentsOf: URL(filePath: disk.file))
    let people = try run("bench", disk, "--seconds", "0.2")
    #expect(people.exitCode == 0, "\(people.errors)")
    #expect(people.text.contains("ops/s") && people.text.contains("disk read"), "\(people.text)")
    let programs = try run("bench", disk, "--seconds", "0.2", "--depth", "4", "--json")
    #expect(programs.exitCode == 0)
    let report: BenchReport = try programs.decoded()
    #expect(report.subjects.map(\.name) == ["disk"])
    #expect(report.ratio == nil)
    let subject = try #require(report.subjects.first)
    #expect(subject.operations > 0)
    #expect(subject.bytesPerSecond > 0)
    let latency = try #require(subject.readLatency)
    #expect(0 < latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.max)
    #expect(subject.writeLatency == nil)
    #expect(try Data(contentsOf: URL(filePath: disk.file)) == before)
  }

  @Test func `The bench command compares a disk with a file of the host`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let run = try run("bench", disk, "--seconds", "0.2", "--compare", disk.file, "--json")
    #expect(run.exitCode == 0, "\(run.errors)")
    let report: BenchReport = try run.decoded()
    #expect(report.subjects.map(\.name) == ["disk", "file"])
    #expect(report.subjects.allSatisfy { $0.operations > 0 })
    let ratio = try #require(report.ratio)
    let rates = report.subjects.map(\.operationsPerSecond)
    #expect(abs(ratio.operationsPerSecond - rates[0] / rates[1]) < 0.01)
    let people = try self.run("bench", disk, "--seconds", "0.1", "--compare", disk.file)
    #expect(people.exitCode == 0)
    #expect(people.text.contains("disk / file: "), "\(people.text)")
  }

  @Test func `The bench command writes only with --overwrite, and only within --span`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    try disk.write([UInt8](repeating: 0xFF, count: 16 << 20))
    let run = try run(
      "bench", disk, "--seconds", "0.2", "--read-share", "50", "--overwrite", "--block-size", "8K",
      "--json")
    #expect(run.exitCode == 0, "\(run.errors)")
    let subject = try #require(try run.decoded(BenchReport.self).subjects.first)
    #expect(subject.readLatency != nil && subject.writeLatency != nil)
    try disk.write([UInt8](repeating: 0xFF, count: 16 << 20))
    // Without reads it is zeros that are written.
    let write = try self.run(
      "bench", disk, "--seconds", "0.1", "--read-share", "0", "--overwrite", "--span", "1M")
    #expect(write.exitCode == 0, "\(write.errors)")
    let content = try Data(contentsOf: URL(filePath: disk.file))
    #expect(content[..<(1 << 20)].contains(0))
    #expect(!content[(1 << 20)...].contains(0))
  }

  /// Arguments, and what is said.
  @Test(
    arguments: [
      (["read", "--offset", "17M"], "behind the end of the disk"),
      (["read", "--offset", "100"], "whole blocks of 512 bytes"),
      (["read", "--count", "17M"], "do not fit on a disk of"),
      (["write", "--offset", "16777000", "--input", "/etc/passwd"], "whole blocks of 512"),
      (["write", "--offset", "16776704", "--input", "/proc/self/exe"], "does not fit"),
      (["identify", "--namespace", "2"], "there is no namespace 2"),
      (["bench", "--span", "1K", "--seconds", "0.1"], "not even one block"),
      (
        ["verify", "--overwrite", "--block-size", "2M"], "whole blocks of 512 bytes, at most 1 MiB"
      ),
    ] as [([String], String)])
  func `An nvme command that a disk cannot carry out ends with exit code 1 and a reason`(
    arguments: [String], says: String
  ) throws {
    let disk = try NVMeDisk(megabytes: 16)
    let run = try ProgramRun(
      ["nvme", arguments[0], disk.device.socket] + arguments.dropFirst())
    #expect(run.exitCode == 1)
    #expect(run.errors.contains(says), "\(run.errors)")
    #expect(run.output.isEmpty)
    #expect(disk.device.process.isRunning)
  }

  @Test func `The write command fails on a write-protected disk, which identify shows`() throws {
    let disk = try NVMeDisk(megabytes: 1, options: ["--read-only"])
    let write = try run("write", disk, input: "/etc/passwd")
    #expect(write.exitCode == 1)
    #expect(write.errors.contains("the disk failed"), "\(write.errors)")
    #expect(try run("read", disk).output == Data(count: 1 << 20))
    let summary: DiskSummary = try run("identify", disk, "--json").decoded()
    #expect(summary.namespaces.first?.isReadOnly == true)
  }

  @Test func `The identify command reports that the disk has a client already`() throws {
    let disk = try NVMeDisk(megabytes: 1)
    let client = try Client(connectingTo: FilePath(disk.device.socket))
    let run = try run("identify", disk)
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("has a client already"), "\(run.errors)")
    client.disconnect()
    #expect(eventually { (try? self.run("identify", disk))?.exitCode == 0 })
  }

  /// SIGINT in the middle: the report of what was done, and an exit code of its own.
  @Test func `The bench command ends with its report and exit code 130 when interrupted`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let scratch = try ScratchFolder()
    let (channel, theirs) = try ByteChannel.pair(name: "vfio-user nvme bench")
    let bench = try ChildProcess(
      GuestEnvironment.program, ["nvme", "bench", disk.device.socket, "--seconds", "600"],
      standardIO: theirs, log: scratch.path("bench.log"))
    // Signals are caught before the disk is looked for.
    try #require(eventually { disk.device.whatItSaid.contains("a client connected") })
    bench.send(SIGINT)
    #expect(try bench.exitCode() == 130)
    try channel.receive(through: Array("seed 1".utf8), within: .seconds(10))
    #expect(eventually { disk.device.whatItSaid.contains("the client is gone") })
    #expect(try run("identify", disk).exitCode == 0)
  }
}

@Suite(.timeLimit(.minutes(5))) struct `The demonstration` {
  /// What is left of demonstrations: folders and processes have their paths.
  private static func remains() throws -> [String] {
    let folders = try FileManager.default.contentsOfDirectory(atPath: "/tmp")
    return folders.filter { $0.hasPrefix("vfio-user-demo-") }
  }

  @Test(arguments: [["demo"], ["demo", "disk"]])
  func `The demonstration of a disk runs through to the end`(command: [String]) throws {
    let before = try Self.remains()
    let run = try ProgramRun(
      command + ["--size", "16M", "--verified", "1M", "--seconds", "0.02"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let steps = run.text.split(separator: "\n").filter { $0.first?.isNumber == true }
    #expect(steps.map { $0.prefix(2) } == ["1.", "2.", "3.", "4.", "5.", "6."], "\(run.text)")
    let verdicts = run.text.split(separator: "\n").filter {
      $0.contains("all 16 blocks are as written, CRC-32C ")
    }
    #expect(verdicts.count == 2 && Set(verdicts).count == 1, "\(run.text)")
    #expect(run.text.contains("\"driver\":\"vfio-user-pci\""))
    #expect(try Self.remains() == before)
  }

  @Test func `The demonstration of a serial port runs through to the end`() throws {
    let before = try Self.remains()
    let run = try ProgramRun(["demo", "serial", "--bytes", "600"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let steps = run.text.split(separator: "\n").filter { $0.first?.isNumber == true }
    #expect(steps.map { $0.prefix(2) } == ["1.", "2.", "3.", "4.", "5."], "\(run.text)")
    #expect(run.text.components(separatedBy: "all arrived unchanged").count == 3, "\(run.text)")
    #expect(try Self.remains() == before)
  }
}
