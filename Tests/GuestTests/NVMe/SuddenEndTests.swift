import TestSupport
import Testing

extension Guests {
  /// One of both sides is killed in the middle of everything.
  @Suite(.timeLimit(.minutes(5))) struct `A disk whose other side ends suddenly` {
    @Test func `A disk has a file system that its journal repairs after QEMU was killed`() throws {
      let disk = try NVMeDisk(megabytes: 256)
      var announced: [String] = []
      try withGuest(Machine(memory: 512), .load, [disk.device]) { guest in
        try guest.begin(writers)
        for _ in 0..<12 { announced.append(try guest.awaitLine("@@kept ")) }
        guest.kill()
      }
      try withGuest(Machine(memory: 512), .disks, [disk.device]) { guest in
        let said = try guest.run(
          """
          mount /dev/nvme0n1 /mnt
          dmesg | grep -o 'recovery complete'
          cd /mnt && md5sum \(announced.map { $0.split(separator: " ")[1] }.joined(separator: " "))
          cd / && umount /mnt
          e2fsck -f -n /dev/nvme0n1 > /tmp/fsck 2>&1 && echo clean || cat /tmp/fsck
          """)
        let lines = said.split(separator: "\n").map {
          $0.split(separator: " ").joined(separator: " ")
        }
        #expect(lines == ["recovery complete"] + announced + ["clean"], "\(said)")
      }
    }

    /// The process is started again with its file; the guest is a new one.
    @Test func `A disk has all that was flushed after the device process was killed`() throws {
      let disk = try NVMeDisk(megabytes: 256)
      var flushed = 0
      try withGuest(Machine(memory: 512), .load, [disk.device]) { guest in
        try guest.begin(logger)
        while flushed < 60 { flushed = Int(try guest.awaitLine("@@flushed ")) ?? 0 }
        disk.kill()
      }
      try disk.restart()
      try withGuest(Machine(memory: 512), .disks, [disk.device]) { guest in
        let said = try guest.run(
          """
          \(blockOf)
          for number in $(seq \(flushed)); do
            dd if=/dev/nvme0n1 bs=64k skip=$number count=1 iflag=direct 2> /dev/null > /tmp/read
            block $number | cmp - /tmp/read || echo "block $number is not there"
          done
          """)
        #expect(said == "", "of \(flushed): \(said)")
      }
    }
  }
}

/// Loads of all kinds, and files that are announced when they are on the disk.
private let writers = """
  mke2fs -q -t ext4 /dev/nvme0n1 && mount /dev/nvme0n1 /mnt
  fio --name=mix $mix --directory=/mnt --size=8m --time_based --runtime=100 > /tmp/fio 2>&1 &
  (while true; do cp -r /bin /mnt/tree; mv /mnt/tree /mnt/wood; rm -rf /mnt/wood; done) 2> /dev/null &
  for number in $(seq 1000); do
    head -c $((number * 4000)) /dev/urandom > /tmp/file
    dd if=/tmp/file of=/mnt/file-$number bs=64k conv=fsync 2> /dev/null
    cd /mnt; echo "@@kept $(md5sum file-$number | tr -s ' ')"; cd /
  done
  """

/// The content of a block of 64 KiB, by number.
private let blockOf = #"block() { yes "block $1 of the log" | head -c 65536; }"#

/// Writes block after block while fio writes beyond them, and says which ones were flushed.
private let logger = """
  \(blockOf)
  fio --name=mix --filename=/dev/nvme0n1 $mix --offset=128m --size=128m --time_based --runtime=100 \\
    > /tmp/fio 2>&1 &
  for number in $(seq 2000); do
    block $number > /tmp/block
    dd if=/tmp/block of=/dev/nvme0n1 bs=64k seek=$number oflag=direct conv=fsync,notrunc 2> /dev/null &&
      echo "@@flushed $number"
  done
  """
