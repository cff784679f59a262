import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(8))) struct `A disk whose program is replaced` {
    /// How often; a release deserves more than each commit.
    static let upgrades = LoadSize.isLong ? 100 : 12

    @Test func `A disk under verifying load is upgraded again and again without an error`() throws {
      let disk = try NVMeDisk(megabytes: 256)
      try withGuest(Machine(memory: 512), .load, [disk.device]) { guest in
        let process = disk.device.process.processID
        try guest.run("await_disk 0; \(Self.load)")
        let pauses = try UpgradeRun.repeated(Self.upgrades, disk.device.socket)
        #expect(disk.device.process.processID == process && disk.device.process.isRunning)
        let said = try guest.run(Self.end, within: .seconds(300))
        let lines = said.split(separator: "\n").map(String.init)
        #expect(lines.first == "errors 0" && lines.dropFirst().first == "complaints 0", "\(said)")
        let seen = lines.dropFirst(2).compactMap { Double($0) }
        #expect(!seen.isEmpty)
        record(
          """
          \(Self.upgrades) upgrades: pauses \(Spread(pauses))
          longest write in each half second, seen by fio in the guest: \(Spread(seen))

          """)
      }
    }

    /// Writes at depth 32 until a file is there, and reads back what was written all the while.
    private static let load = """
      (runs=0; errors=0
      while [ ! -e /tmp/stop ]; do
        runs=$((runs + 1))
        fio --name=depth --filename=/dev/nvme0n1 --rw=randwrite --bs=4k --iodepth=32 --ioengine=libaio \\
          --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=512 --size=128m --io_size=24m \\
          --offset=$((runs % 2 * 128))m --log_avg_msec=500 --log_max_value=1 --write_lat_log=/tmp/run-$runs \\
          > /tmp/fio 2>&1 || { errors=$((errors + 1)); cat /tmp/fio > /tmp/failed; }
      done
      echo errors $errors > /tmp/result) > /dev/null 2>&1 &
      """

    /// Ends it, and says what has happened: errors, complaints of the kernel, milliseconds of the longest writes.
    private static let end = """
      touch /tmp/stop; wait
      cat /tmp/result
      echo complaints $(complaints | wc -l)
      cat /tmp/run-*_clat.1.log | awk -F ', ' '$3 == 1 { print $2 / 1000000 }'
      [ ! -e /tmp/failed ] || cat /tmp/failed; complaints || true
      """
  }
}
