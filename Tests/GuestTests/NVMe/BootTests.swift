import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `A machine that boots from the disk` {
    static let boards = Machine.Board.allCases.flatMap { board in
      [true, false].map { Machine(board: board, sharesMemory: $0) }
    }

    /// SeaBIOS has a driver of its own, and QEMU moves memory about while the firmware runs.
    @Test(arguments: boards)
    func `A machine loads boot blocks from the disk with the driver of SeaBIOS`(_ machine: Machine)
      throws
    {
      let disk = try NVMeDisk(megabytes: 16)
      try disk.write(BootSector.blocks)
      let plug = machine.plug(disk.device.socket, ["bootindex": "1"])
      do {
        try Firmware.awaitLine(BootSector.text, on: machine, options: ["-device", plug])
      } catch {
        throw HarnessError("\(error)\n\(disk.device.whatItSaid)")
      }
    }

    @Test(
      .enabled(
        if: FileManager.default.isReadableFile(atPath: GuestEnvironment.uefi.path),
        "run Scripts/fetch-guest --with nvme"))
    func `A machine loads a program from the disk with UEFI firmware`() throws {
      let disk = try NVMeDisk(megabytes: 16)
      try disk.write(EFIVolume.bytes)
      let machine = Machine()
      let plug = machine.plug(disk.device.socket, ["bootindex": "1"])
      do {
        try Firmware.awaitLine(
          EFIVolume.text, on: machine,
          options: ["-bios", GuestEnvironment.uefi.path, "-device", plug], within: .seconds(120))
      } catch {
        throw HarnessError("\(error)\n\(disk.device.whatItSaid)")
      }
    }

    /// `mke2fs -d` fills a file system without being root and without mounting it.
    @Test func `A machine boots with the disk as its root file system`() throws {
      let scratch = try ScratchFolder()
      let image = try RootImage.make(in: scratch)
      let disk = try NVMeDisk(content: image)
      let machine = Machine(memory: 512)
      try withGuest(
        machine, nil, [disk.device], kernelArguments: "root=/dev/nvme0n1 rootwait rw init=/init"
      ) { guest in
        #expect(
          try guest.run("awk '$2 == \"/\" { print $1, $3 }' /proc/mounts").contains(
            "/dev/root ext4"))
        try guest.run("fio --version && nvme list")
        try guest.run("cp -r /bin /copy && sync")
        try guest.run("mount -o remount,ro /")
      }
      // The next machine finds what the first one wrote.
      try withGuest(machine, .disks, [disk.device]) { guest in
        try guest.run("e2fsck -f -n /dev/nvme0n1")
        try guest.run("mount -o ro /dev/nvme0n1 /mnt && cmp /mnt/copy/fio /mnt/bin/fio")
      }
    }
  }
}

/// A file system with what a guest needs to start from a disk.
enum RootImage {
  /// Makes one, sparse.
  ///
  /// - Returns: its path.
  static func make(in scratch: ScratchFolder) throws -> String {
    let folder = scratch.path("root")
    try GuestImage.load.unpack(into: folder)
    for name in ["dev", "proc", "sys", "tmp", "run", "mnt"] {
      try FileManager.default.createDirectory(
        atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
    }
    let image = scratch.path("root.img")
    try GuestEnvironment.run(
      "mke2fs", ["-q", "-t", "ext4", "-d", folder, "-E", "root_owner=0:0", image, "512M"])
    return image
  }
}
