import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `Two controllers with two namespaces each in one process` {
    @Test func `Four namespaces of two controllers are busy at once without mixing up data`() throws
    {
      let scratch = try ScratchFolder()
      let controllers = try DeviceProcess(
        configuration: twoControllers, sockets: ["controller-0", "controller-1"], in: scratch)
      defer { controllers.kill() }
      try withGuest(Machine(memory: 512), .load, [controllers]) { guest in
        let seed = UInt32.random(in: 1...9999)
        let said = try guest.run(
          """
          await_disk 1
          disks="nvme0n1 nvme0n2 nvme1n1 nvme1n2"
          for disk in $disks; do
            cat /sys/block/$disk/queue/logical_block_size
            # Fewer jobs, so that four of fio fit.
            fio --name=mix --filename=/dev/$disk $mix --numjobs=1 --size=48m --randseed=\(seed) \\
              > /tmp/fio-$disk 2>&1 || cat /tmp/fio-$disk &
          done
          wait
          for disk in $disks; do echo "$disk is $disk" | dd of=/dev/$disk bs=4k conv=sync,fsync 2> /dev/null; done
          echo 3 > /proc/sys/vm/drop_caches
          for disk in $disks; do head -n 1 /dev/$disk; done
          cat /tmp/fio-* | awk -F ';' '/^3;fio/ { read += $6; written += $47; errors += $5; jobs++ }
            END { print jobs " jobs, errors " errors; print "read " read " KiB, written " written " KiB" }'
          """, within: .seconds(200))
        let lines = said.split(separator: "\n").map(String.init)
        #expect(
          lines.dropLast() == [
            "512", "4096", "512", "4096", "nvme0n1 is nvme0n1", "nvme0n2 is nvme0n2",
            "nvme1n1 is nvme1n1", "nvme1n2 is nvme1n2", "4 jobs, errors 0",
          ], "seed \(seed): \(said)")
        record("seed \(seed): \(lines.last ?? "")\n")
      }
    }
  }
}

/// A configuration file: two controllers, `controller-0` and `controller-1`, with namespaces of 64 MiB.
let twoControllers = (0..<2).map { number in
  """
  [[nvme]]
  socket = "controller-\(number)"
  namespace = [
    { file = "disk-\(number)-512.img", size = "64M", block-size = 512 },
    { file = "disk-\(number)-4096.img", size = "64M", block-size = 4096 },
  ]

  """
}.joined()
