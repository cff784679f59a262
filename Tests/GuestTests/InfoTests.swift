import TestSupport
import Testing

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
}
