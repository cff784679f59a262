import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

/// Needs no guest.
@Suite(.timeLimit(.minutes(1))) struct `A device process` {
  @Test(arguments: [SIGTERM, SIGINT], [false, true])
  func `A device process ends with success at a signal and removes its sockets`(
    _ signal: Int32, hasClient: Bool
  ) throws {
    let device = try SerialProcess(.socket)
    defer { device.kill() }
    let client = hasClient ? try Client(connectingTo: FilePath(device.socket)) : nil
    for path in [device.socket, device.farSocket] {
      #expect(FileManager.default.fileExists(atPath: path))
    }
    device.process.send(signal)
    #expect(try device.process.exitCode() == 0)
    for path in [device.socket, device.farSocket] {
      #expect(!FileManager.default.fileExists(atPath: path))
    }
    client?.disconnect()
  }
}
