import Foundation
import Glibc
import TestSupport

/// A file that `vfio-user serve nvme` serves, and the process that does.
///
/// Both last as long as the value; the process can be ended and started again with the same file.
final class NVMeDisk {
  /// The disk's content on the host.
  let file: String
  /// The serial number in the guest.
  let serial: String
  private(set) var device: DeviceProcess

  private let scratch: ScratchFolder
  private let arguments: [String]

  /// Makes a file and serves it.
  ///
  /// - Parameters:
  ///   - content: a file that becomes the disk (by a copy); an empty one if nil.
  ///   - megabytes: MiB, for an empty one.
  ///   - blockSize: bytes of a logical block.
  ///   - options: more for `vfio-user serve nvme`.
  init(
    content: String? = nil, megabytes: Int = 256, blockSize: Int = 512,
    serial: String = "GUEST-TEST",
    options: [String] = []
  ) throws {
    scratch = try ScratchFolder()
    file = scratch.path("disk.img")
    self.serial = serial
    if let content {
      try ToolRun.output(of: URL(filePath: "/bin/cp"), ["--sparse=always", content, file])
    } else {
      _ = FileManager.default.createFile(atPath: file, contents: nil)
      try FileHandle(forWritingTo: URL(filePath: file)).truncate(atOffset: UInt64(megabytes) << 20)
    }
    arguments =
      ["nvme", "--file", file, "--serial", serial, "--block-size", "\(blockSize)"] + options
    device = try DeviceProcess(arguments, in: scratch)
  }

  deinit { kill() }

  func kill() { device.kill() }

  /// After ``kill()``.
  func restart() throws { device = try DeviceProcess(arguments, in: scratch) }

  /// Puts bytes at the start of the file.
  func write(_ bytes: [UInt8]) throws {
    let handle = try FileHandle(forWritingTo: URL(filePath: file))
    try handle.write(contentsOf: bytes)
    try handle.close()
  }

  /// Gives the file another size, and tells the process.
  func resize(megabytes: Int) throws {
    let handle = try FileHandle(forWritingTo: URL(filePath: file))
    try handle.truncate(atOffset: UInt64(megabytes) << 20)
    try handle.close()
    device.process.send(SIGHUP)
  }

  /// KiB that the host keeps for the file.
  func allocatedKilobytes() throws -> Int {
    let said = try ToolRun.output(of: URL(filePath: "/usr/bin/stat"), ["-c", "%b", file])
    guard let blocks = Int(said.trimmingCharacters(in: .whitespacesAndNewlines)) else {
      throw HarnessError("stat says \(said)")
    }
    return blocks / 2
  }
}

extension GuestImage {
  /// A guest with the tools for disks.
  static let disks = GuestImage(
    programs: ["nvme", "mke2fs", "e2fsck", "blkdiscard"], prelude: diskTools)

  /// The same with fio, whose libraries need 90 MB of a guest's memory twice: 512 MiB will do.
  static let load = GuestImage(
    programs: ["nvme", "mke2fs", "e2fsck", "blkdiscard", "fio"], prelude: diskTools)

  private static let diskTools = #"""
    digest() { md5sum | cut -d ' ' -f 1; }
    # Waits until a disk is there (its first namespace; some seconds after a hot plug): number
    await_disk() {
      for turn in $(seq 300); do
        [ -b /dev/nvme${1}n1 ] && return
        usleep 100000
      done
      dmesg | tail -n 20
      return 1
    }
    # A line for each thing that the kernel does not like.
    complaints() {
      # How long a shutdown may take, when the disk says so, is none.
      dmesg | grep -v 'Shutdown timeout set' \
        | grep -E 'nvme.*(timeout|error|fail|abort|reset)|I/O error|EXT4-fs (error|warning)'
    }
    # Options of fio: four jobs, random sizes at random places, each block is checked.
    mix="--rw=randrw --bsrange=4k-256k --blockalign=4k --iodepth=64 --numjobs=4 --ioengine=libaio
      --direct=1 --verify=crc32c --verify_fatal=1 --group_reporting --minimal"
    """#
}

/// How long and how large the loads are.
///
/// `VFIO_USER_GUEST_LONG=1` makes them as long as a release deserves; the usual is for each commit.
enum LoadSize {
  static let isLong = ProcessInfo.processInfo.environment["VFIO_USER_GUEST_LONG"] != nil

  /// Seconds that fio is started again and again for; it runs at least once.
  static let seconds = isLong ? 60 : 5
}
