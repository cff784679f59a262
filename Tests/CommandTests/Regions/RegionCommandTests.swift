import Foundation
import Glibc
import TestSupport
import Testing
import VFIOUserClient

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `The commands read and write` {
  private let served: ServedProcess

  init() throws { served = try ServedProcess(["scratch"]) }

  @Test(
    arguments: [
      ([], "0x41524353\n"), (["--decimal"], "1095910227\n"), (["--width", "1"], "0x53\n"),
      (["--width", "2"], "0x4353\n"), (["--width", "8"], "0x0000000141524353\n"),
      (["--width", "4", "--count", "8"], "0x00: 0x41524353 0x00000001\n"),
      (["--count", "4"], "00: 53 43 52 41" + String(repeating: " ", count: 36) + "  SCRA\n"),
      (["--repeat", "2"], "0x41524353\n0x41524353\n"),
    ] as [([String], String)])
  func `A register is read in many ways`(options: [String], text: String) throws {
    let run = try ProgramRun(
      .builtProgram("vfio-user"), ["read", served.socket, "bar0", "0"] + options)
    #expect(run.text == text && run.exitCode == 0, "\(run.errors)")
  }

  @Test func `Reads can be JSON, a line each`() throws {
    let run = try served.run("read", "bar0", "0", "--json", "--repeat", "2")
    let lines = run.text.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.allSatisfy { $0.contains(#""values":["0x41524353"]"#) })
  }

  @Test(
    arguments: [
      (
        ["bar0", "0xffd"],
        "4 bytes at 0xffd are not inside BAR 0, which has 4 KiB: the last place for them is 0xffc"
      ),
      (["bar0", "0", "--count", "8K"], "they are too many"),
      (["bar0", "0xffffffffffffffff"], "are not inside BAR 0"),
      (["bar3", "0"], "the device has no BAR 3"), (["9", "0"], "it counts 9 regions"),
    ] as [([String], String)])
  func `An access that cannot be is explained before it is sent`(words: [String], says: String)
    throws
  {
    let run = try ProgramRun(.builtProgram("vfio-user"), ["read", served.socket] + words)
    #expect(run.exitCode == 1 && run.errors.contains(says), "\(run.errors)")
  }

  @Test func `With --unchecked the device itself refuses`() throws {
    let run = try served.run("read", "bar0", "0xffd", "--unchecked")
    #expect(run.exitCode == 1 && run.errors.contains("the device refused"), "\(run.errors)")
  }

  @Test func `Values go one behind the other, each in one access`() throws {
    let run = try served.run("write", "bar0", "8", "0x11", "0x22", "--verify")
    #expect(
      run.exitCode == 0 && run.text == "wrote 8 bytes to BAR 0 at 0x8; they read back as written\n",
      "\(run.errors)")
  }

  @Test func `A register that reads otherwise is found by --verify`() throws {
    let run = try served.run("write", "bar0", "0", "5", "--verify")
    #expect(run.exitCode == 1 && run.errors.contains("0x00000005 -> 0x41524353"), "\(run.errors)")
  }

  @Test func `A posted write has been done when the command ends`() throws {
    #expect(try served.run("write", "bar2", "0x100", "0x1234", "--post").exitCode == 0)
    #expect(try served.run("read", "bar2", "0x100").text == "0x00001234\n")
  }

  @Test func `A file is written, read back, and is the same`() throws {
    let content = Data((0..<700_001).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
    let (input, output) = (served.path("in"), served.path("out"))
    try content.write(to: URL(filePath: input))
    let written = try served.run("write", "bar2", "0x10", "--input", input, "--verify")
    #expect(written.exitCode == 0, "\(written.errors)")
    #expect(
      try served.run("read", "bar2", "0x10", "--count", "700001", "--output", output).exitCode == 0)
    #expect(try Data(contentsOf: URL(filePath: output)) == content)
    #expect(
      try served.run("read", "bar2", "0x10", "--count", "700001", "--output", "-").output == content
    )
  }

  @Test func `Standard input is written too`() throws {
    let input = served.path("in")
    try Data("Hello, device!".utf8).write(to: URL(filePath: input))
    #expect(try served.run("write", "bar2", "0", "--input", "-", input: input).exitCode == 0)
    let run = try served.run("read", "bar2", "0", "--count", "14")
    #expect(run.text.contains("Hello, device!"))
  }

  @Test func `Ctrl-C ends the wait for standard input`() throws {
    let (channel, theirs) = try ByteChannel.pair(name: "standard input")
    let process = try ChildProcess(
      .builtProgram("vfio-user"), ["write", served.socket, "bar2", "0", "--input", "-"],
      standardIO: theirs, log: served.path("log-of-write"))
    // SIGINT is bit 1; it is blocked when the command has its thread for it.
    #expect(
      eventually {
        let line = process.status(of: "status").split(separator: "\n").first {
          $0.hasPrefix("SigBlk:")
        }
        return line.flatMap { $0.last?.hexDigitValue }.map { $0 & 2 != 0 } ?? false
      })
    process.send(SIGINT)
    #expect(try process.exitCode() == 130)
    _ = channel
  }

  @Test func `A file that is too long is refused, also an endless one`() throws {
    for input in ["/dev/zero", "/proc/self/exe"] {
      let run = try served.run("write", "bar0", "0xff0", "--input", input)
      #expect(run.exitCode == 1 && run.errors.contains("more than the 16 bytes"), "\(run.errors)")
    }
  }

  @Test func `A watch shows what has changed, and ends with --repeat`() throws {
    let run = try served.run(
      "read", "bar0", "0x38", "--watch", "--interval", "0.01", "--repeat", "3")
    #expect(run.exitCode == 0 && run.text == "0x00000000\n", "\(run.text)")
  }

  @Test func `A read may write before, in the same connection`() throws {
    let run = try served.run("read", "bar0", "8", "--write", "bar0:8=0x1234/2")
    #expect(run.text == "0x00001234\n", "\(run.errors)")
  }

  @Test func `A command whose reader goes ends without an error`() throws {
    let line = "set -o pipefail; \"$0\" read \"$1\" bar0 0 --repeat 100000000 | head -1"
    let program = URL.builtProgram("vfio-user").path
    let run = try ProgramRun(
      URL(filePath: "/bin/bash"), ["-c", line, program, served.socket], within: .seconds(30))
    #expect(run.exitCode == 0 && run.errors.isEmpty && run.text == "0x41524353\n", "\(run.errors)")
  }

  @Test func `A reset is answered, and undoes what was written`() throws {
    _ = try served.run("write", "bar1", "0", "7")
    let run = try served.run("reset")
    #expect(run.exitCode == 0 && run.text.hasPrefix("reset in "), "\(run.errors)")
    #expect(try served.run("read", "bar1", "0").text == "0x00000000\n")
  }
}

@Suite struct `What is shown of a reading` {
  private func reading(_ width: AccessWidth?, count: UInt64 = 8) throws -> RegionReading {
    RegionReading(
      region: try RegionName(text: "bar0"), offset: 0x10, count: count, width: width,
      isDecimal: false)
  }

  @Test func `Only the numbers that differ are shown`() throws {
    let (old, new) = ([UInt8](repeating: 0, count: 8), [0, 0, 0, 0, 1, 2, 0, 0] as [UInt8])
    #expect(try reading(.four).changes(from: old, to: new) == ["0x14: 0x00000000 -> 0x00000201"])
    #expect(
      try reading(nil).changes(from: old, to: new) == ["0x14: 0x00 -> 0x01", "0x15: 0x00 -> 0x02"])
    #expect(
      try reading(.eight).changes(from: old, to: new) == [
        "0x0000000000000000 -> 0x0000020100000000"
      ])
  }

  @Test func `Of many changes the first are shown, and how many there are`() throws {
    let (old, new) = ([UInt8](repeating: 0, count: 40), [UInt8](repeating: 1, count: 40))
    let lines = try reading(nil, count: 40).changes(from: old, to: new)
    #expect(lines.count == 33 && lines.last == "and 8 more")
  }
}
