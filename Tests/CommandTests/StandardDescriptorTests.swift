import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A program started without standard descriptors` {
  /// The image would get the free number, and the log would be written over its first bytes.
  @Test(arguments: ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
  func `A program started without standard descriptors leaves the image as it is`(_ closing: String)
    throws
  {
    let folder = try ScratchFolder()
    let (image, socket) = (folder.path("disk.img"), folder.path("disk.sock"))
    let content = Data((0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    try content.write(to: URL(filePath: image))
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments =
      ["-c", "exec \"$0\" \"$@\" \(closing)", URL.builtProgram("vfio-user").path]
      + ["serve", "nvme", "--socket", socket, "--file", image]
    try process.runClosingFiles()
    defer { kill(process.processIdentifier, SIGKILL) }
    for _ in 0..<3 {
      var peer: MessageSocket?
      #expect(
        eventually {
          peer = try? MessageSocket(connectingTo: FilePath(socket))
          return peer != nil
        })
      // No VERSION: the server says so in its log.
      let stranger = ScriptedPeer(try #require(peer))
      _ = try? stranger.ask(message(.deviceReset))
      stranger.socket.shutdown()
    }
    kill(process.processIdentifier, SIGTERM)
    #expect(eventually { !process.isRunning })
    #expect(process.terminationStatus == 0)
    #expect(try Data(contentsOf: URL(filePath: image)) == content)
  }
}
