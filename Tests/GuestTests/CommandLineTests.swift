import Foundation
import Testing

/// What the program is told, and what it answers.
struct WrongCommandLine: CustomTestStringConvertible, Sendable {
  let arguments: [String]
  let exitCode: Int32
  /// A part of what stands on standard error.
  let says: String

  var testDescription: String { arguments.joined(separator: " ") }

  init(_ line: String, _ exitCode: Int32, _ says: String) {
    arguments = line.split(separator: " ").map(String.init)
    self.exitCode = exitCode
    self.says = says
  }
}

@Suite struct `A wrong command line` {
  static let long = String(repeating: "x", count: 120)

  static let lines: [WrongCommandLine] = [
    .init("info /tmp/vfio-user-nowhere", 1, "Start a device there first"),
    .init("info /etc/passwd", 1, "/etc/passwd is not a socket"),
    .init("info", 64, "Missing expected argument"),
    .init("serve serial --pty", 64, "either --socket PATH or --fd NUMBER"),
    .init("serve serial --socket /tmp/a --fd 3 --pty", 64, "either --socket PATH or --fd NUMBER"),
    .init("serve serial --socket /tmp/a", 64, "choose one far end"),
    .init("serve serial --socket /tmp/a --pty --stdio", 64, "choose one far end"),
    .init("serve serial --socket /tmp/a --listen /tmp/a", 64, "two different paths"),
    .init("serve serial --socket /tmp/a --mode 9 --pty", 64, "three octal digits"),
    .init("serve serial --socket /tmp/a --pty --log-level loud", 64, "log-level"),
    .init("serve serial --socket /etc/passwd --pty", 1, "exists and is not a socket"),
    .init("serve serial --socket /nonexistent/a --pty", 1, "No such file or directory"),
    .init("serve serial --socket /tmp/\(long) --pty", 1, "a socket path has at most 107"),
    .init("serve serial --fd 1 --pty", 1, "above 2"),
    .init("serve edu", 64, "either --socket PATH or --fd NUMBER"),
    .init("serve edu --socket /tmp/a --dma-mask 0", 64, "1 to 64 bits, not 0"),
    .init("serve edu --socket /tmp/a --dma-mask 65", 64, "1 to 64 bits, not 65"),
    .init("serve scratch", 64, "either --socket PATH or --fd NUMBER"),
    .init("demo serial --bytes 0", 64, "from 1 to 16777216"),
    .init("fly", 64, "fly"),
  ]

  @Test(arguments: lines)
  func `is answered with cause and remedy, and an exit code that says whose fault it is`(
    _ line: WrongCommandLine
  ) throws {
    let process = Process()
    process.executableURL = GuestEnvironment.program
    process.arguments = line.arguments
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == line.exitCode)
    #expect(said.contains(line.says), "\(said)")
  }
}
