import Foundation
import SystemPackage
import VFIOUserTransport

/// A device process that belongs to the demo.
final class DemoDevice {
  let farEnd: FilePath
  private let process = Process()
  var pid: Int32 { process.processIdentifier }

  /// Starts this same program as a device process, and waits until it listens.
  init(socket: FilePath, farEnd: FilePath) throws {
    self.farEnd = farEnd
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = [
      "serve", "serial", "--socket", socket.string, "--listen", farEnd.string,
    ]
    try process.run()
    let deadline = ContinuousClock.now + .seconds(10)
    while !FileManager.default.fileExists(atPath: socket.string) {
      guard process.isRunning, ContinuousClock.now < deadline else {
        stop()
        throw CommandFailure("the device process did not start; its messages are above.")
      }
      usleep(5000)
    }
  }

  /// Asks it to end, as a supervisor would.
  func stop() {
    guard process.isRunning else { return }
    process.terminate()
    process.waitUntilExit()
  }
}

/// The program at the other end of the serial port's cable.
struct FarProgram {
  private let socket: MessageSocket
  private var stream: FileDescriptor { FileDescriptor(rawValue: socket.descriptor.number) }

  init(_ path: FilePath) throws {
    socket = try MessageSocket(connectingTo: path)
  }

  func send(_ bytes: [UInt8]) throws {
    try stream.writeAll(bytes)
  }

  func receive(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var piece = [UInt8](repeating: 0, count: count - bytes.count)
      // Sound: the buffer is the array's own, for the length of the call.
      let got = unsafe try piece.withUnsafeMutableBytes { unsafe try stream.read(into: $0) }
      guard got > 0 else { throw CommandFailure("the far end of the serial port was closed.") }
      bytes += piece[..<got]
    }
    return bytes
  }
}
