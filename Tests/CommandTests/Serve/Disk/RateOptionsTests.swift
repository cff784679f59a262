import ArgumentParser
import Foundation
import NVMeDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite struct `The rate limits of a disk as users write them` {
  private func limits(_ arguments: String...) throws -> RateLimits {
    let command = try Serve.parseAsRoot(
      ["nvme", "--socket", "/disks/a", "--memory", "1M"] + arguments)
    return try #require(command as? ServeNVMe).disk.rates.limits
  }

  @Test func `Each limit has its option, and a burst behind a slash`() throws {
    #expect(try limits() == RateLimits())
    var all = RateLimits()
    all.operations = RateLimit(perSecond: 1000, burst: 5000)
    all.readOperations = RateLimit(perSecond: 2)
    all.writeOperations = RateLimit(perSecond: 3)
    all.bytes = RateLimit(perSecond: 100 << 20, burst: 1 << 30)
    all.readBytes = RateLimit(perSecond: 65_536)
    #expect(
      try limits(
        "--limit-ops", "1000/5000", "--limit-read-ops", "2", "--limit-write-ops=3",
        "--limit-bytes", "100M/1G", "--limit-read-bytes", "64K", "--limit-write-bytes", "off")
        == all)
  }

  @Test(arguments: [
    "0", "/", "5/", "/5", "1/2/3", "x", "-1", "1000000001", "1/1000000001", "1/0", "1.5",
    "99999999999999999999", "off/1",
  ])
  func `What is no limit is refused, with the notation or the range`(text: String) throws {
    do {
      _ = try limits("--limit-ops=\(text)")
      Issue.record("\(text) is no limit")
    } catch {
      let message = Serve.message(for: error)
      #expect(message.contains("--limit-ops"), "\(message)")
      #expect(message.contains("per second"), "\(message)")
    }
  }

  @Test func `A configuration file has numbers and texts for them, and is written so`() throws {
    let text = """
      [[nvme]]
      socket = "/a"
      memory = "1M"
      limit-ops = 1000
      limit-bytes = "100M/1G"
      """
    let file = try ConfigurationFile(text, in: ConfigurationPlace(file: "x"), folder: FilePath("/"))
    let request = try #require(file.devices.first?.request)
    #expect(request.arguments.contains("--limit-ops=1000"))
    #expect(request.arguments.contains("--limit-bytes=100M/1G"))
    let written = ConfigurationWriter.text([request], logLevel: "notice")
    #expect(written.contains("limit-ops = 1000\n"), "\(written)")
    #expect(written.contains("limit-bytes = \"100M/1G\"\n"))
    #expect(throws: ConfigurationError.self) {
      try ConfigurationFile(
        text.replacing("1000", with: "true"), in: ConfigurationPlace(file: "x"),
        folder: FilePath("/"))
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct `A disk whose rate limits are changed while it is served` {
  /// Operations per second of a driver.
  private func measure(_ socket: String, seconds: String = "1") throws -> Double {
    struct Report: Decodable {
      struct Measured: Decodable { let operationsPerSecond: Double }
      let subjects: [Measured]
    }
    let run = try ProgramRun(
      ControlledProcess.program,
      ["nvme", "bench", socket, "--seconds", seconds, "--depth", "8", "--json"])
    guard run.exitCode == 0 else { throw HarnessError(run.errors) }
    return try run.decoded(Report.self).subjects[0].operationsPerSecond
  }

  @Test func `A limit is kept, changed, shown, counted, written down, and taken away`() throws {
    let one = try ControlledProcess()
    let (socket, edu) = (one.scratch.path("disk"), one.scratch.path("edu"))
    try one.succeed("add", "nvme", "--socket", socket, "--memory", "4M", "--limit-ops", "300")
    #expect(try 250...320 ~= measure(socket))
    let shown = try one.succeed("limits", socket, "--ops", "600", "--bytes=1G/2G")
    #expect(shown.contains("operations per second") && shown.contains("600"), "\(shown)")
    #expect(shown.contains("2147483648"))
    #expect(try 500...630 ~= measure(socket))
    #expect(try one.succeed("stats", socket).contains("held commands back"))
    let top = try ProgramRun(
      ControlledProcess.program, ["top", "--prometheus", one.control]
    ).text
    #expect(top.contains("vfio_user_throttled_seconds_total"), "\(top)")
    let written = try one.succeed("configuration")
    #expect(written.contains("limit-ops = 600\n"), "\(written)")
    #expect(written.contains("limit-bytes = \"1073741824/2147483648\"\n"), "\(written)")
    try one.succeed(
      "call", "limit", #"{"socket": "\#(socket)", "limits": {"ops": null, "bytes": "off"}}"#)
    #expect(try !one.succeed("limits", socket).contains("operations per second"))
    #expect(try measure(socket, seconds: "0.3") > 1000)
    try one.succeed("add", "edu", "--socket", edu)
    for (arguments, words) in [
      (["limits", edu, "--ops", "5"], "no rate limits"), (["limits", "--ops", "5"], "which disk"),
      (["limits", socket, "--bytes", "5"], "65536"),
      (["limits", socket, "--ops", "x"], "1000/5000"),
      (["call", "limit", #"{"socket": "\#(socket)", "limits": {"iops": 5}}"#], "read-bytes"),
      (["call", "limit", #"{"socket": "\#(socket)", "limits": {"bytes": 5}}"#], "65536"),
      (["call", "limit", #"{"socket": "\#(socket)", "limits": {"ops": [1]}}"#], "no limit"),
    ] {
      let run = try ProgramRun(ControlledProcess.program, ["ctl", one.control] + arguments)
      #expect(run.exitCode != 0 && run.errors.contains(words), "\(arguments): \(run.errors)")
    }
    #expect(try !one.succeed("limits", socket).contains("operations per second"))
  }
}
