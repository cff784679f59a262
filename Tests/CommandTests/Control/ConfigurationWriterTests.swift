import SystemPackage
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite struct `A configuration file that is written` {
  @Test(arguments: [
    ["nvme", "--socket=/tmp/a", "--file=/tmp/a.img", "--size=1G", "--queues=3"],
    [
      "nvme", "--socket", "/tmp/a", "--namespace", "file=/tmp/a,,b,read-only",
      "--namespace=memory=1M",
    ],
    ["serial", "--socket-path=/tmp/\"quoted\"\\ \t", "--pty"],
    ["edu", "--socket", "/tmp/e", "--dma-mask", "040", "--log-level", "info", "--control=/tmp/c"],
    ["scratch", "--mode=660", "--socket=/tmp/ü"],
  ])
  func `A device that is written is read as the same device`(line: [String]) throws {
    let kind = try #require(ConfiguredDevice.kinds.first { $0.name == line[0] })
    let arguments = try DeviceArguments.normal(
      Array(line.dropFirst()), of: kind.command, folder: "/")
    let request = DeviceRequest(
      kind: kind.name, arguments: arguments.map { $0.replacing("=040", with: "=40") })
    let text = ConfigurationWriter.text([request], logLevel: "debug")
    let file = try ConfigurationFile(text, in: ConfigurationPlace(file: "x"), folder: FilePath("/"))
    #expect(file.log.logLevel == .debug)
    #expect(file.devices.map(\.request) == [request], "\(text)")
  }

  @Test func `Paths become absolute and names one form, in the order of the names`() throws {
    let arguments = try DeviceArguments.normal(
      ["--size=1G", "--socket-path", "a", "--file", "../b.img", "--read-only"],
      of: ServeNVMe.self, folder: "/x/y")
    #expect(
      arguments == ["--file=/x/y/../b.img", "--read-only", "--size=1G", "--socket=/x/y/a"])
  }
}
