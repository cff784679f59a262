import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@testable import vfio_user

@Suite(.timeLimit(.minutes(2))) struct `The info command` {
  @Test func `The info command shows the place of the MSI-X table, and IDs in hexadecimal`() throws
  {
    let device = try DeviceProcess(["scratch"])
    defer { device.kill() }
    let run = try ProgramRun(["info", device.socket])
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(
      run.text.contains(
        "MSI-X: 64 vectors, table in BAR 4 at 0x0, pending bits in BAR 4 at 0x"), "\(run.text)")
    let programs = try ProgramRun(["info", "--json", device.socket])
    #expect(programs.text.contains(#""vendor" : "0x1234""#), "\(programs.text)")
    #expect(programs.text.contains(#""device" : "0x5c7c""#))
    let summary: DeviceSummary = try programs.decoded()
    let table = try #require(summary.capabilities.first { $0.id.value == 0x11 }?.vectorTable)
    #expect((table.vectors, table.tableRegion, table.pendingRegion) == (64, 4, 4))
    #expect(table.tableOffset.value != table.pendingOffset.value)
  }

  @Test func `The info command shows whether a device can be saved, and leaves it as it was`()
    throws
  {
    let device = try DeviceProcess(["scratch"])
    defer { device.kill() }
    for _ in 0..<2 {
      let run = try ProgramRun(["info", device.socket])
      #expect(
        run.text.contains(
          "Migration: can be saved (STOP_COPY), in part while it runs (PRE_COPY), log of written pages"
        ), "\(run.text)")
    }
    let programs = try ProgramRun(["info", "--json", device.socket])
    #expect(programs.text.contains(#""stopCopy" : true"#), "\(programs.text)")
    let summary: DeviceSummary = try programs.decoded()
    #expect(summary.migration?.peerToPeer == false && summary.migration?.dmaLogging == true)
    let client = try Client(connectingTo: FilePath(device.socket))
    #expect(try client.migrationState() == .running)
    try client.startDMALogging(pageSize: 4096)
  }
}
