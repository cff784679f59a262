import Foundation
import TestSupport
import Testing

@testable import vfio_user

/// `vfio-user nvme verify` against `vfio-user serve nvme`, each a process of its own.
@Suite(.timeLimit(.minutes(2))) struct `The verify command` {
  private func run(_ command: String, _ disk: NVMeDisk, _ arguments: String...) throws -> ProgramRun
  {
    try ProgramRun(["nvme", command, disk.device.socket] + arguments)
  }

  @Test func `The verify command finds the one byte of a pattern that was changed`() throws {
    let disk = try NVMeDisk(megabytes: 8)
    let verify = try run("verify", disk, "--size", "4M", "--overwrite", "--json")
    #expect(verify.exitCode == 0, "\(verify.errors)")
    let written: PatternReport = try verify.decoded()
    #expect((written.blocks, written.blockSize, written.badBlocks) == (64, 1 << 16, 0))
    #expect((written.blocksWritten, written.isFlushed, written.blocksRead) == (64, true, 64))
    #expect(written.writeMBPerSecond ?? 0 > 0)
    let earlier = ["--size", "4M", "--read-only", "--seed", "\(written.seed)"]
    let again = try verified(disk, earlier + ["--json"])
    #expect(again.exitCode == 0)
    let found: PatternReport = try again.decoded()
    #expect(found.checksum == written.checksum)
    #expect(found.writeMBPerSecond == nil)
    // Another seed is another pattern.
    let other = try verified(
      disk, ["--size", "4M", "--read-only", "--seed", "\(written.seed + 1)"])
    #expect(other.exitCode == 1)
    #expect(other.text.contains("64 of 64 blocks are not as written with seed"), "\(other.text)")
    let file = try FileHandle(forUpdating: URL(filePath: disk.file))
    let place = UInt64(3 * 65536 + 17)
    try file.seek(toOffset: place)
    let byte = try #require(try file.read(upToCount: 1)?.first)
    try file.seek(toOffset: place)
    try file.write(contentsOf: [byte ^ 1])
    let broken = try verified(disk, earlier + ["--json"])
    #expect(broken.exitCode == 1)
    let report: PatternReport = try broken.decoded()
    #expect((report.badBlocks, report.firstBadOffset) == (1, 3 * 65536))
  }

  private func verified(_ disk: NVMeDisk, _ arguments: [String]) throws -> ProgramRun {
    try ProgramRun(["nvme", "verify", disk.device.socket] + arguments)
  }

  @Test func `The verify command writes another pattern each time, so that lost writes show`()
    throws
  {
    let disk = try NVMeDisk(megabytes: 1)
    let runs = try (0..<2).map { _ in
      try run("verify", disk, "--size", "1M", "--overwrite", "--json").decoded(PatternReport.self)
    }
    #expect(runs[0].seed != runs[1].seed)
    #expect(runs[0].checksum != runs[1].checksum)
  }

  @Test func `The verify command overwrites nothing without --overwrite`() throws {
    let disk = try NVMeDisk(megabytes: 1)
    try disk.write([UInt8](repeating: 0xAB, count: 1 << 20))
    let run = try run("verify", disk, "--size", "1M")
    #expect(run.exitCode == 64)
    #expect(run.errors.contains("allow it with --overwrite"), "\(run.errors)")
    let content = try Data(contentsOf: URL(filePath: disk.file))
    #expect(content.allSatisfy { $0 == 0xAB })
  }
}
