import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import vfio_user

/// What belongs to the program as a process, whatever the command.
@Suite(.timeLimit(.minutes(2))) struct `The program` {
  /// Runs a line of shell with `$0` for the program.
  private func shell(_ line: String) throws -> (code: Int32, output: String, errors: String) {
    let folder = try ScratchFolder()
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", "\(line) > \(folder.path("out")) 2> \(folder.path("err"))"]
    process.arguments?.append(GuestEnvironment.program.path)
    process.standardInput = FileHandle.nullDevice
    try process.runClosingFiles()
    process.waitUntilExit()
    let text = { (name: String) in
      String(
        decoding: (try? Data(contentsOf: URL(filePath: folder.path(name)))) ?? Data(), as: UTF8.self
      )
    }
    return (process.terminationStatus, text("out"), text("err"))
  }

  @Test(arguments: [
    "$0 --help", "$0 --version", "$0 info %", "$0 info --json %", "$0 nvme identify %",
    "$0 nvme read --count 512 %", "$0 nvme bench --seconds 0.01 %",
    "$0 nvme verify --size 64K --overwrite %", "$0 nvme read -o /dev/full --count 512 %",
  ])
  func `The program fails when its output cannot be written`(_ line: String) throws {
    let disk = try NVMeDisk(megabytes: 1)
    let run = try shell(
      "(\(line.replacing("%", with: disk.device.socket)) \(line.contains("-o ") ? "" : "> /dev/full"))"
    )
    #expect(run.code == 1)
    #expect(run.errors.contains("takes no more: No space left on device"), "\(run.errors)")
  }

  @Test(arguments: ["$0 --help", "$0 nvme read %"])
  func `The program succeeds when the reader of its output closes the pipe early`(_ line: String)
    throws
  {
    let disk = try NVMeDisk(megabytes: 16)
    let run = try shell("(\(line.replacing("%", with: disk.device.socket)) | head -c 1)")
    #expect(run.code == 0)
    #expect(!run.errors.contains("takes no more"), "\(run.errors)")
  }

  @Test(arguments: ["serve nvme --socket /tmp/x --file", "info", "nvme read /tmp/x --output"])
  func `The program refuses a file name that is not UTF-8, and touches no other file`(
    _ line: String
  ) throws {
    let folder = try ScratchFolder()
    let run = try shell("(cd \(folder.url.path) && $0 \(line) bad$'\\xff'.img)")
    #expect(run.code == 64)
    #expect(run.errors.contains(#"is not UTF-8: bad\xff.img"#), "\(run.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path).count <= 2)
  }

  /// In a mount namespace of its own, where that is allowed.
  @Test func `The program has its arguments without a proc file system`() throws {
    let hidden = "unshare -Urm bash -c 'mount -t tmpfs none /proc && exec \"$0\" \"$@\"'"
    guard try shell("\(hidden) true").code == 0 else { return }
    let run = try shell("\(hidden) $0 fly")
    #expect(run.code == 64)
    #expect(run.errors.contains("there is no command 'fly'"), "\(run.errors)")
  }

  /// The main thread is the one that the signal would end; the test runner ignores it, and what it starts does then.
  @Test func `The program reports that an image would exceed the file size limit`() throws {
    let scratch = try ScratchFolder()
    let file = scratch.path("disk.img")
    let run = try shell(
      "(ulimit -f 1024; env --default-signal=XFSZ $0 serve nvme --socket \(scratch.path("s")) --file \(file) --size 4M)"
    )
    #expect(run.code == 1)
    #expect(run.errors.contains("Error: \(file)"), "\(run.errors)")
  }

  /// Beyond the limit a write fails, and the process goes on.
  @Test func `The program survives a write beyond the file size limit`() throws {
    let scratch = try ScratchFolder()
    let socket = scratch.path("s")
    let file = scratch.path("disk.img")
    _ = FileManager.default.createFile(atPath: file, contents: nil)
    try FileHandle(forWritingTo: URL(filePath: file)).truncate(atOffset: 4 << 20)
    let process = try ChildProcess(
      URL(filePath: "/bin/bash"),
      [
        "-c", "ulimit -f 1024 && exec \"$0\" serve nvme --socket \(socket) --file \(file)",
        GuestEnvironment.program.path,
      ], log: scratch.path("log"))
    try #require(eventually { (try? ProgramRun(["info", socket]))?.exitCode == 0 })
    let write = try ProgramRun(
      ["nvme", "write", socket, "--offset", "2M", "--input", "/etc/passwd"])
    #expect(write.exitCode == 1)
    #expect(write.errors.contains("the disk failed"), "\(write.errors)")
    #expect(process.isRunning)
    #expect(try ProgramRun(["nvme", "identify", socket]).exitCode == 0)
    process.send(SIGTERM)
    #expect(try process.exitCode() == 0)
  }

  @Test func `The program says when a device is ready, and prints the options for QEMU`() throws {
    let scratch = try ScratchFolder()
    let (channel, theirs) = try ByteChannel.pair(name: "standard output")
    let process = try ChildProcess(
      URL(filePath: "/bin/bash"),
      [
        "-c", "cd \(scratch.url.path) && exec \"$0\" serve edu --socket \"it's.sock\"",
        GuestEnvironment.program.path,
      ], standardIO: theirs, log: scratch.path("log"))
    defer { process.kill() }
    let path = scratch.path("it's.sock").replacing("'", with: #"'\''"#)
    let device = #"{"driver":"vfio-user-pci","socket":{"type":"unix","path":"\#(path)"}}"#
    let said = """
      edu is ready on it's.sock: -device '\(device)'
      guest memory has to be shared: -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem

      """
    try channel.receive(through: Array(said.utf8), within: .seconds(10))
  }

  /// At the log level that it has by itself.
  @Test func `The program warns of a client that does not share its memory`() throws {
    let scratch = try ScratchFolder()
    let socket = scratch.path("s")
    let process = try ChildProcess(
      GuestEnvironment.program, ["serve", "scratch", "--socket", socket], log: scratch.path("log"))
    defer { process.kill() }
    try #require(eventually { (try? ProgramRun(["info", socket]))?.exitCode == 0 })
    let client = try Client(connectingTo: FilePath(socket))
    let memory = try SharedMemory(size: 64 << 20)
    try client.map(memory, at: 0, size: memory.size, isShared: false)
    #expect(eventually { process.whatItSaid.contains("share=on") }, "\(process.whatItSaid)")
    client.disconnect()
  }

  /// A pipe that is full and stays full.
  @Test func `The program does not wait for a reader of its standard output`() throws {
    let scratch = try ScratchFolder()
    let socket = scratch.path("s")
    let pipe = Pipe()
    let end = pipe.fileHandleForWriting
    _ = fcntl(end.fileDescriptor, F_SETFL, O_NONBLOCK)
    let block = [UInt8](repeating: 0, count: 4096)
    while unsafe write(end.fileDescriptor, block, block.count) > 0 {}
    _ = fcntl(end.fileDescriptor, F_SETFL, 0)
    let process = try ChildProcess(
      URL(filePath: "/bin/bash"),
      [
        "-c", "exec \"$0\" serve edu --socket \(socket) < /dev/null", GuestEnvironment.program.path,
      ],
      standardIO: end, log: scratch.path("log"))
    defer { process.kill() }
    try #require(eventually { (try? ProgramRun(["info", socket]))?.exitCode == 0 })
    process.send(SIGTERM)
    #expect(try process.exitCode() == 0)
    withExtendedLifetime(pipe) {}
  }

  @Test func `The program leaves standard output to the serial port that uses it`() throws {
    let device = try DeviceProcess(["serial", "--stdio"])
    defer { device.kill() }
    #expect(eventually { device.whatItSaid.contains("serial is ready on") })
  }
}
