import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `A disk in use` {
    static let boards = [Machine(board: .pc, memory: 512), Machine(board: .q35, memory: 512)]

    /// On q35 a slot is a port of its own: the root bus has none.
    ///
    /// Without MSI-X: QEMU 11.1 dies of an assertion (`subregion->container == mr`) when any vfio-user
    /// device with it is unplugged.
    @Test(arguments: boards)
    func `A disk in use is unplugged and plugged in again`(_ machine: Machine) throws {
      let disk = try NVMeDisk(megabytes: 128, options: ["--interrupts", "msi"])
      let isExpress = machine.board == .q35
      let place = [
        "bus": isExpress ? #""root1""# : #""pci.0""#, "addr": #""\#(isExpress ? 0 : 6)""#,
      ]
      let port = isExpress ? ["-device", "pcie-root-port,id=root1,chassis=1,slot=1"] : []
      let plug = machine.plug(disk.device.socket, id: "disk", place)
      try withGuest(machine, .load, [disk.device], options: port + ["-device", plug]) { guest in
        try guest.run(
          """
          dd if=/bin/fio of=/dev/nvme0n1 bs=64k conv=fsync 2> /dev/null
          size=$(stat -c %s /bin/fio)
          """)
        for turn in 1...2 {
          try loadDuringUnplug(guest)
          try replug(guest, machine, disk, place)
          let said = try guest.run(
            """
            for turn in $(seq 100); do set -- /dev/nvme?n1; [ -b $1 ] && break; usleep 100000; done
            head -c $size $1 | cmp - /bin/fio && echo kept
            """)
          #expect(said == "kept", "turn \(turn): \(said)")
        }
      }
    }

    /// The driver sends everything again that was under way.
    @Test func `A disk in use is reset under load`() throws {
      let disk = try NVMeDisk(megabytes: 128)
      try withGuest(Machine(memory: 512), .load, [disk.device]) { guest in
        let said = try guest.run(
          """
          (while [ ! -e /tmp/enough ]; do
            seed=$RANDOM
            fio --name=mix --filename=/dev/nvme0n1 $mix --size=16m --offset_increment=16m \
              --randseed=$seed > /tmp/fio 2>&1 || { echo "seed $seed"; cat /tmp/fio; }
          done) &
          for turn in 1 2 3 4 5 6; do
            sleep 1
            nvme reset /dev/nvme0 || echo "no reset"
          done
          touch /tmp/enough
          wait
          echo "errors $(awk -F ';' '/^3;fio/ { print $5 }' /tmp/fio)"
          dmesg | grep -c 'nvme0: resetting controller'
          """, within: .seconds(200))
        #expect(said == "errors 0\n6", "\(said)")
      }
    }
  }
}

/// Leaves fio running, which is going to fail.
private func loadDuringUnplug(_ guest: Guest) throws {
  try guest.run(
    """
    set -- /dev/nvme?n1
    fio --name=mix --filename=$1 $mix --offset=64m --size=64m --time_based --runtime=60 \\
      --allow_file_create=0 > /tmp/fio 2>&1 &
    for turn in $(seq 100); do
      [ $(awk '{ print $7 }' /sys/block/${1##*/}/stat) -gt 1000 ] && break
      usleep 100000
    done
    """)
}

private func replug(
  _ guest: Guest, _ machine: Machine, _ disk: NVMeDisk, _ place: [String: String]
) throws {
  try guest.monitor.execute("device_del", ["id": "disk"])
  try guest.monitor.awaitEvent("DEVICE_DELETED") { $0["device"] as? String == "disk" }
  let left = try guest.run(
    """
    wait
    for turn in $(seq 100); do set -- /dev/nvme?n1; [ -b $1 ] || break; usleep 100000; done
    ls /dev | grep nvme || true
    """)
  #expect(left == "")
  try guest.monitor.plug(machine.plug(disk.device.socket, id: "disk", place))
}
