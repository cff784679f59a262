import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(10))) struct `A file system on the disk` {
    /// How a disk is seen by a guest.
    struct Case: Sendable, CustomTestStringConvertible {
      let machine: Machine
      let blockSize: Int
      /// The best there is.
      var interrupts = "msix"
      /// More for `vfio-user serve nvme`.
      var options: [String] = []
      /// MiB for each of four jobs of fio.
      var megabytesPerJob = 4
      var testDescription: String {
        (["\(machine), blocks of \(blockSize) bytes, \(interrupts)"] + options)
          .joined(separator: " ")
      }
    }

    static let cases = [
      Case(machine: Machine(memory: 512), blockSize: 512),
      Case(
        machine: Machine(board: .pc, memory: 512), blockSize: 4096,
        options: ["--doorbells", "mapped"]),
      Case(machine: Machine(sharesMemory: false, memory: 512), blockSize: 4096, interrupts: "msi"),
      Case(
        machine: Machine(board: .pc, sharesMemory: false, postsWrites: false, memory: 512),
        blockSize: 512, interrupts: "intx", megabytesPerJob: 1),
      Case(
        machine: Machine(memory: 512), blockSize: 4096,
        options: ["--cache", "direct", "--engine", "ring"]),
    ]

    @Test(arguments: cases)
    func `A file system keeps all that was written, and a discard frees space on the host`(
      _ machine: Case
    ) throws {
      let disk = try NVMeDisk(
        megabytes: LoadSize.isLong ? 768 : 128, blockSize: machine.blockSize,
        options: ["--interrupts", machine.interrupts] + machine.options)
      try withGuest(machine.machine, .load, [disk.device]) { guest in
        #expect(
          try guest.run("cat /sys/block/nvme0n1/queue/logical_block_size") == "\(machine.blockSize)"
        )
        let lines = try guest.run(
          "grep -c nvme0q /proc/interrupts; ls /sys/class/nvme/nvme0/device/msi_irqs | wc -l")
        #expect(lines == ["msix": "2\n2", "msi": "1\n1", "intx": "1\n0"][machine.interrupts])
        #expect(guest.hasMappedRegion == machine.options.contains("mapped"))
        try checkCopies(guest)
        try checkLoad(guest, megabytesPerJob: LoadSize.isLong ? 64 : machine.megabytesPerJob)
        try checkDiscard(guest, disk)
        #expect(try guest.run("complaints || true") == "")
      }
    }
  }
}

private func checkCopies(_ guest: Guest) throws {
  let said = try guest.run(
    """
    mke2fs -q -t ext4 /dev/nvme0n1 && mount /dev/nvme0n1 /mnt
    mkdir /mnt/copy && cp -a /bin /lib/*/libicuuc* /mnt/copy/
    cat /bin/fio /bin/nvme /lib/*/libicuuc* | digest
    umount /mnt && e2fsck -f -p /dev/nvme0n1 > /tmp/fsck 2>&1 || cat /tmp/fsck
    mount /dev/nvme0n1 /mnt
    cat /mnt/copy/bin/fio /mnt/copy/bin/nvme /mnt/copy/libicuuc* | digest
    rm -r /mnt/copy
    umount /mnt && e2fsck -f -n /dev/nvme0n1 > /tmp/fsck 2>&1 || cat /tmp/fsck
    """, within: .seconds(300))
  let lines = said.split(separator: "\n")
  #expect(lines.count == 2 && lines.first == lines.last, "\(said)")
}

/// Random sizes at random places, as many as the queues hold; all of it checked by fio at once, and
/// after the file system has been away.
private func checkLoad(_ guest: Guest, megabytesPerJob: Int) throws {
  let seed = UInt32.random(in: 1...9999)
  let said = try guest.run(
    """
    mix="$mix --directory=/mnt --size=\(megabytesPerJob)m"
    seed=\(seed)
    mount /dev/nvme0n1 /mnt
    now() { cut -d . -f 1 /proc/uptime; }
    end=$(($(now) + \(LoadSize.seconds)))
    while true; do
      seed=$((seed + 1))
      fio --name=mix $mix --randseed=$seed > /tmp/fio 2>&1 || { echo "seed $seed"; cat /tmp/fio; }
      cat /tmp/fio >> /tmp/all
      [ $(now) -lt $end ] || break
    done
    again="$mix --rw=randwrite --randseed=$seed"
    fio --name=again $again --do_verify=0 > /tmp/fio 2>&1 || cat /tmp/fio
    cat /mnt/*.0 | digest
    umount /mnt && e2fsck -f -n /dev/nvme0n1 > /tmp/fsck 2>&1 || cat /tmp/fsck
    mount /dev/nvme0n1 /mnt
    cat /mnt/*.0 | digest
    fio --name=again $again --verify_only > /tmp/fio 2>&1 || cat /tmp/fio
    umount /mnt
    awk -F ';' '/^3;fio/ { read += $6; written += $47; errors += $5 }
      END { print "read " int(read / 1024) " MiB, written " int(written / 1024) " MiB, errors " errors }' /tmp/all
    """, within: .seconds(LoadSize.isLong ? 1200 : 400))
  let lines = said.split(separator: "\n")
  #expect(lines.count == 3 && lines[0] == lines[1], "seed \(seed): \(said)")
  #expect(lines.last?.hasSuffix("errors 0") == true)
  record("seed \(seed): \(lines.last ?? "")\n")
}

private func checkDiscard(_ guest: Guest, _ disk: NVMeDisk) throws {
  _ = try guest.run("dd if=$(ls /lib/*/libicudata*) of=/dev/nvme0n1 bs=1M conv=fsync 2> /dev/null")
  let before = try disk.allocatedKilobytes()
  _ = try guest.run("blkdiscard /dev/nvme0n1")
  let after = try disk.allocatedKilobytes()
  #expect(before > 16 << 10, "\(before) KiB")
  #expect(after < 1 << 10, "\(after) KiB, before \(before)")
  #expect(
    try guest.run("head -c 1048576 /dev/nvme0n1 | cmp -n 1048576 - /dev/zero && echo zeros")
      == "zeros")
}
