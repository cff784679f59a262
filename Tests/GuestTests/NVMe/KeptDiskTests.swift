import Foundation
import TestSupport
import Testing

/// Disks without a serial number, each a process: files, and a loop device where there can be one.
private final class UnnamedDisks {
  let scratch: ScratchFolder
  /// Where the disks are now.
  private(set) var places: [String]
  private(set) var devices: [DeviceProcess] = []
  private let loop: String?

  private static let losetup = URL(filePath: "/usr/sbin/losetup")

  init() throws {
    scratch = try ScratchFolder()
    places = ["a.img", "b.img", "c.img"].map(scratch.path)
    for place in places {
      _ = FileManager.default.createFile(atPath: place, contents: nil)
      try FileHandle(forWritingTo: URL(filePath: place)).truncate(atOffset: 64 << 20)
    }
    let node = try? ToolRun.output(of: Self.losetup, ["--find", "--show", places[2]])
    loop = node?.trimmingCharacters(in: .whitespacesAndNewlines)
    if let loop {
      places[2] = loop
    } else {
      record("there are no loop devices here: three files")
    }
    try FileManager.default.createDirectory(
      atPath: scratch.path("state"), withIntermediateDirectories: false)
  }

  deinit {
    end()
    if let loop { _ = try? ToolRun.output(of: Self.losetup, ["--detach", loop]) }
  }

  func start() throws {
    devices = try places.enumerated().map { number, place in
      let state = place == loop ? ["--state", scratch.path("state")] : []
      return try DeviceProcess(
        ["nvme", "--file", place] + state, in: scratch, socketName: "disk\(number)")
    }
  }

  /// The power goes.
  func end() {
    devices.forEach { $0.kill() }
    devices = []
  }

  /// Gives the second disk's file another name, and leaves its state behind.
  func rename() throws {
    let new = scratch.path("renamed.img")
    try FileManager.default.moveItem(atPath: places[1], toPath: new)
    places[1] = new
  }
}

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `Disks without a configured serial number` {
    @Test func `Disks without a configured serial number are distinct and keep identity and data`()
      throws
    {
      let disks = try UnnamedDisks()
      try disks.start()
      let machine = Machine(memory: 512)
      let before = try withDisks(disks, machine) { guest in
        try guest.run(
          """
          for disk in 0 1 2; do
            await_disk $disk
            node=/dev/nvme${disk}n1
            nvme format $node --lbaf=1 --force > /dev/null
            mke2fs -q -t ext4 $node && mount $node /mnt
            cat /sys/class/nvme/nvme$disk/serial > /mnt/serial && umount /mnt
          done
          """)
        return try names(guest)
      }
      #expect(Set(before).count == 3, "\(before)")
      disks.end()
      try disks.rename()
      try disks.start()
      try withDisks(disks, machine) { guest in
        #expect(try names(guest) == before)
        let said = try guest.run(
          """
          for disk in 0 1 2; do
            cat /sys/block/nvme${disk}n1/queue/logical_block_size
            mount /dev/nvme${disk}n1 /mnt
            cmp /mnt/serial /sys/class/nvme/nvme$disk/serial && echo same
            umount /mnt
          done
          complaints || true
          """)
        #expect(said.split(separator: "\n") == ["4096", "same", "4096", "same", "4096", "same"])
      }
    }

    private func withDisks<Result>(
      _ disks: UnnamedDisks, _ machine: Machine, _ body: (Guest) throws -> Result
    ) throws -> Result {
      var result: Result?
      try withGuest(machine, .disks, disks.devices) { result = try body($0) }
      return try #require(result)
    }

    /// The serial numbers, in order: the guest finds disks in any.
    private func names(_ guest: Guest) throws -> [Substring] {
      try guest.run("for disk in 0 1 2; do await_disk $disk; done; cat /sys/class/nvme/*/serial")
        .split(separator: "\n").sorted()
    }
  }
}
