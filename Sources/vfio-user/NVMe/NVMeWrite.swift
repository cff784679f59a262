import ArgumentParser
import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// `vfio-user nvme write`: copies a file or standard input to blocks.
struct NVMeWrite: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write",
    abstract: "Copy a file, or standard input, to blocks of a disk.",
    discussion: """
      What does not fill the last block is followed by zeros. Ends with a flush: when the command has \
      succeeded, the data is on the disk. Prints how much it was and its checksum (CRC-32C) on standard error.

        vfio-user nvme write /tmp/disk.sock --input image.raw

      Exit codes: 0 done (also with a warning that interrupts do not arrive), 1 the disk failed, cannot be driven or is \
      too small, 64 the command line is wrong, 130 ended by Ctrl-C, and not all is written.
      """)

  @OptionGroup var target: NVMeTarget

  @Option(
    help: ArgumentHelp("Where to begin: bytes, whole blocks.", valueName: "size"),
    transform: ByteCount.init(text:))
  var offset = ByteCount(0)

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to read.", valueName: "path"),
    completion: .file())
  var input: String?

  @OptionGroup var driver: NVMeDriving

  @OptionGroup var log: LogOptions

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    let source = try input.map { path in
      try reading(path) {
        try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      }
    }
    defer { try? source?.close() }
    let file = source ?? .standardInput
    let disk = try Disk(target, depth: BlockCopy.depth, transfer: BlockCopy.transfer, driver)
    defer { disk.close() }
    let range = try blockRange(of: disk.namespace, offset, nil)
    let copy = try BlockCopy(disk)
    try driving(target) {
      try copy.write(range) { bytes in
        var filled = 0
        while filled < bytes.count {
          let got = try reading(input ?? "standard input") {
            // Sound: the array's own buffer, for the duration of the call.
            try unsafe bytes.withUnsafeMutableBytes { buffer in
              unsafe try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            }
          }
          guard got > 0 else { break }
          filled += got
        }
        return filled
      }
    }
    note(copy.report("written and flushed"))
    disk.noteLostInterrupts()
    if Interruption.hasCome { throw ExitCode(130) }
  }

  /// Adds the name of the file to an error.
  private func reading<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as Errno {
      throw CommandError("cannot read \(name): \(error)")
    }
  }
}
