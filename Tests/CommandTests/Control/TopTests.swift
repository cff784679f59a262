import Foundation
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

@testable import vfio_user

@Suite(.timeLimit(.minutes(2))) struct `vfio-user top` {
  @Test func `Messages of a client are counted by kind, with their bytes`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("scratch")
    try one.succeed("add", "scratch", "--socket", socket)
    let client = try Client(connectingTo: FilePath(socket))
    for _ in 0..<50 { _ = try client.read(.bar1, at: 0, count: 4096) }
    try client.write(.bar1, at: 0, from: [UInt8](repeating: 1, count: 100))
    let text = try one.succeed("stats", socket)
    #expect(text.contains("50 read (204800 bytes), 1 write (100 bytes)"), "\(text)")
    let prometheus = try ProgramRun(
      ControlledProcess.program, ["top", "--prometheus", one.control]
    ).text
    #expect(
      prometheus.contains(
        #"vfio_user_message_bytes_total{process="\#(one.process.processID)",device="scratch",socket="\#(socket)",kind="read"} 204800"#
      ), "\(prometheus)")
  }

  @Test func `A measurement has the rates of its interval`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("scratch")
    try one.succeed("add", "scratch", "--socket", socket)
    let client = try Client(connectingTo: FilePath(socket))
    let before = try measure(one)
    #expect(before.client == ProcessInfo.processInfo.processIdentifier)
    #expect(before.messages.allSatisfy { $0.perSecond == 0 })
    let stop = Monitor(false)
    try DetachedThread.start("reader") {
      while !stop.withLock({ $0 }) { _ = try? client.read(.bar1, at: 0, count: 4096) }
    }
    let during = try measure(one)
    stop.update { $0 = true }
    let reads = try #require(during.messages.first { $0.kind == "read" })
    #expect(reads.perSecond > 10)
    // A read that is under way has been counted, and its bytes have not.
    #expect(abs(reads.bytesPerSecond / reads.perSecond - 4096) < 410)
    #expect(during.messageLatencies != nil)
  }

  private func measure(_ one: ControlledProcess) throws -> TopFigures.Device {
    let run = try ProgramRun(
      ControlledProcess.program,
      ["top", "\(one.process.processID)", "--count", "1", "--interval", "0.2", "--json"])
    let figures: TopFigures = try run.decoded()
    #expect(figures.interval >= 0.2)
    return try #require(figures.devices.first, "\(run.errors)")
  }

  @Test func `Figures that no process can have are shown as far as possible`() throws {
    func measured(_ count: UInt64, at time: UInt64) throws -> ProcessStatistics {
      try JSONDecoder().decode(
        ProcessStatistics.self,
        from: Data(
          #"""
          {"process":1,"version":"x","time":\#(time),"use":{"processorTime":1e300},"devices":[{"kind":"k",
          "socket":"s","statistics":{"clients":0,"refusedClients":0,"messages":[{"kind":"read","count":\#(count),
          "bytes":\#(count)}],"refusals":\#(count),"messageTimes":[],"interrupts":0,"windows":0,"mappedBytes":\#(count)}}]}
          """#.utf8))
    }
    let figures = TopFigures(
      from: [try measured(0, at: 1)], to: [try measured(.max, at: 2)])
    #expect(TopTable.lines(figures).count == 2)
  }

  @Test func `A process that cannot be asked is said, with exit code 1`() throws {
    let run = try ProgramRun(ControlledProcess.program, ["top", "/nowhere", "--count", "1"])
    #expect(run.exitCode == 1 && run.errors.contains("/nowhere"))
  }
}
