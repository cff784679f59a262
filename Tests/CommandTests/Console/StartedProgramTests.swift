import CLinux
import Glibc
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing

@testable import vfio_user

@Suite struct `A program that a command starts` {
  /// What the program says until it has ended.
  private func output(of script: String, _ arguments: [String] = []) throws -> String {
    let (output, input) = try FileDescriptor.pipe(options: .closeOnExec)
    defer { try? output.close() }
    let child = try StartedProgram(
      "/bin/sh", arguments: ["-c", script] + arguments, input: .null, output: .same(input.rawValue),
      errors: .null)
    try input.close()
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = try unsafe bytes.withUnsafeMutableBytes { unsafe try output.read(into: $0) }
    #expect(eventually { child.exitCode == 0 })
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  @Test func `A program that a command starts gets its arguments as they are, empty ones too`()
    throws
  {
    let text = try output(of: "printf '<%s>' \"$@\"", ["name", "a b", "", "c\"d"])
    #expect(text == "<a b><><c\"d>")
  }

  /// The input of the tests may be empty as well, but their error output is not.
  @Test func `A program that a command starts has no descriptor of ours that it is not to have`()
    throws
  {
    let places = try output(of: "readlink /proc/$$/fd/0 /proc/$$/fd/2")
    #expect(places == "/dev/null\n/dev/null\n")
  }

  @Test func `A program that a command starts says how it has ended`() throws {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", -9)] as [(String, Int32)] {
      let child = try StartedProgram(
        "/bin/sh", arguments: ["-c", script], input: .null, output: .null)
      #expect(eventually { child.exitCode != nil })
      #expect(child.exitCode == code)
      // Its number may be another process's by now.
      child.kill()
      #expect(child.exitCode == code)
    }
  }

  @Test func `A program that a command starts is asked to end, and killed with the last reference`()
    throws
  {
    var child: StartedProgram? = try StartedProgram(
      "/bin/sh", arguments: ["-c", "exec sleep 100"], input: .null, output: .null)
    child?.terminate()
    #expect(child?.exitCode == -SIGTERM)
    child = try StartedProgram(
      "/bin/sh", arguments: ["-c", "exec sleep 100"], input: .null, output: .null)
    let number = try #require(child?.number)
    #expect(kill(number, 0) == 0)
    child = nil
    #expect(kill(number, 0) == -1)
  }

  @Test func `A program that is not there is an error`() {
    #expect(throws: Errno.noSuchFileOrDirectory) {
      try StartedProgram("/nowhere/program", arguments: [], input: .null, output: .null)
    }
  }
}
