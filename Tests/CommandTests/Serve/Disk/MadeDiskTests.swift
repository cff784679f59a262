import ArgumentParser
import CLinux
import Foundation
import Logging
import NVMeDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserProgram
import VFIOUserServer
import VFIOUserTransport

@testable import vfio_user

@Suite struct `Starting a disk` {
  /// Removed with all that is in it.
  private final class Folder {
    let path = "/tmp/vfio-user-made-\(UInt64.random(in: 0 ... .max))"
    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
    var names: [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
  }

  private let folder: Folder

  init() throws { folder = try Folder() }

  /// A disk that is closed with the object.
  private final class MadeDisk {
    let served: ServedDevice
    let device: NVMeDevice
    private let server: DeviceServer

    init(_ served: ServedDevice) throws {
      self.served = served
      var options = ServerOptions()
      options.logger.logLevel = .critical
      let (server, running) = try served.plug(options)
      self.server = server
      device = try #require(running.device as? NVMeDevice)
    }

    deinit { device.close() }

    func removeMadeFiles() { served.removeMadeFiles() }
  }

  private func make(_ arguments: [String]) throws -> MadeDisk {
    let command = try Serve.parseAsRoot(["nvme", "--socket", "/disks/a"] + arguments)
    return try MadeDisk(#require(command as? ServeNVMe).openDevice(DeviceLog()))
  }

  /// What a start says that fails.
  private func refusal(_ arguments: [String]) -> String {
    do {
      _ = try make(arguments)
      return "nothing"
    } catch {
      return "\(error)"
    }
  }

  @Test func `A disk that fails to start leaves no file behind`() throws {
    let made = "file=\(folder("a")),size=1M"
    let failures = [
      ["--namespace", made, "--namespace", "file=\(folder("b"))"],
      ["--namespace", made, "--namespace", "file=\(folder("none/b")),size=1M"],
      ["--namespace", made, "--namespace", "memory=100"],
      [
        "--namespace", made + ",nguid=00000000000000000000000000000001", "--namespace",
        "memory=1M,nguid=00000000000000000000000000000001",
      ],
      ["--file", folder("a"), "--size", "1M", "--state", "/dev/null"],
      ["--file", folder("a"), "--size", "100"],
      ["--file", folder("a"), "--size", "\(Int64.max)"],
    ]
    for arguments in failures {
      #expect(refusal(arguments) != "nothing")
      #expect(folder.names == [], "\(arguments)")
    }
  }

  @Test func `A disk that is not served after all removes the files that it has created`() throws {
    let disk = try make(["--file", folder("a"), "--size", "1M"])
    #expect(folder.names == ["a", "a.nvme"])
    disk.removeMadeFiles()
    #expect(folder.names == [])
    // What was there is left there.
    _ = try make(["--file", folder("a"), "--size", "1M"])
    _ = try eventuallyMade(["--file", folder("a"), "--size", "1M"]).removeMadeFiles()
    #expect(folder.names == ["a", "a.nvme"])
  }

  @Test func `A disk that fails to start restores the size of its file`() throws {
    let file = folder("a")
    try Data("data".utf8).write(to: URL(filePath: file))
    #expect(refusal(["--file", file, "--size", "1M", "--state", "/dev/null"]) != "nothing")
    #expect(try Data(contentsOf: URL(filePath: file)) == Data("data".utf8))
  }

  @Test func `A disk refuses a state file as its data, and a disk in memory refuses --state`()
    throws
  {
    let files = ["vm", "vm.nvme"].flatMap { ["--namespace", "file=\(folder($0))"] }
    _ = try make(["--file", folder("vm"), "--size", "1M"])
    #expect(eventually { refusal(files).contains("vm.nvme looks like state") })
    #expect(refusal(["--memory", "1M", "--state", folder("s")]).contains("--state is for disks"))
  }

  private func eventuallyMade(_ arguments: [String]) throws -> MadeDisk {
    var disk: MadeDisk?
    #expect(
      eventually {
        disk = try? make(arguments)
        return disk != nil
      })
    return try #require(disk)
  }

  @Test
  func `A disk refuses a file that is no disk state as its state file and does not change it`()
    throws
  {
    let files = ["--file", folder("vm"), "--size", "1M"]
    try Data("precious".utf8).write(to: URL(filePath: folder("vm.nvme")))
    #expect(refusal(files).contains("vm.nvme is no state of a disk"))
    #expect(refusal(files).contains("--state"))
    #expect(try Data(contentsOf: URL(filePath: folder("vm.nvme"))) == Data("precious".utf8))
    #expect(folder.names == ["vm.nvme"])
  }

  @Test(arguments: ImageFormat.allCases)
  func `A disk refuses an image of another format without --raw`(
    format: ImageFormat
  ) throws {
    let beginnings: [ImageFormat: [UInt8]] = [
      .qcow2: Array("QFI".utf8) + [0xFB], .qed: Array("QED\0".utf8), .vmdk: Array("KDMV".utf8),
      .vhdx: Array("vhdxfile".utf8), .vhd: Array("conectix".utf8),
      .vdi: [UInt8](repeating: 0x20, count: 64) + [0x7F, 0x10, 0xDA, 0xBE],
      .parallels: Array("WithoutFreeSpace".utf8), .gzip: [0x1F, 0x8B, 8],
      .xz: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], .zstd: [0x28, 0xB5, 0x2F, 0xFD],
      .bzip2: Array("BZh9".utf8), .zip: [0x50, 0x4B, 3, 4],
      .state: Array("vfio-user disk\r\n".utf8),
    ]
    var bytes = try #require(beginnings[format])
    bytes += [UInt8](repeating: 0, count: 16384 - bytes.count)
    try Data(bytes).write(to: URL(filePath: folder("image")))
    let file = ["--file", folder("image")]
    for cache in ["write-back", "direct"] {
      let said = refusal(file + ["--cache", cache])
      #expect(said.contains("looks like \(format.rawValue)") && said.contains("--raw"), "\(said)")
      #expect(folder.names == ["image"])
    }
    #expect(refusal(["--namespace", "file=\(folder("image")),read-only"]).contains("looks like"))
    _ = try make(file + ["--raw"])
    // A guest may write there whatever it likes: the disk is known. A file of just 16 KiB is looked at before.
    let again = format == .state ? ["--raw"] : []
    _ = try eventuallyMade(file + again)
  }

  @Test func `A disk refuses a serial number that a guest would not see unchanged`() throws {
    for serial in ["дом", " a", "a ", "a\u{7}"] {
      #expect(throws: (any Error).self) { try make(["--memory", "1M", "--serial", serial]) }
    }
    #expect(try make(["--memory", "1M", "--serial", "a b"]).device.serialNumber == "a b")
    #expect(throws: (any Error).self) {
      let zeros = String(repeating: "0", count: 32)
      _ = try make(["--namespace", "memory=1M,nguid=\(zeros)"])
    }
  }

  @Test func `Output to a data file or state file of a disk in use is refused`() throws {
    let disk = try make(["--file", folder("a"), "--size", "1M"])
    #expect(throws: CommandError.self) { try openOutput(folder("a")) }
    #expect(try FileManager.default.attributesOfItem(atPath: folder("a"))[.size] as? Int == 1 << 20)
    #expect(throws: CommandError.self) { try openOutput(folder("a.nvme")) }
    _ = disk
    try Data("old and long".utf8).write(to: URL(filePath: folder("b")))
    let copy = try openOutput(folder("b"))
    try copy.closeAfter { _ = try copy.writeAll(Array("new".utf8)) }
    #expect(try Data(contentsOf: URL(filePath: folder("b"))) == Data("new".utf8))
    try openOutput("/dev/null").close()
  }
}
