import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(3))) struct `A guest whose disk has rate limits` {
    @Test(arguments: ["trapped", "mapped"])
    func `A guest has what the limit gives, also when it is changed, and its processors share it`(
      doorbells: String
    ) throws {
      let disk = try NVMeDisk(
        megabytes: 64, options: ["--doorbells", doorbells, "--limit-ops", "1000"])
      let machine = Machine(memory: 512)
      let options = ["-smp", "2", "-device", machine.plug(disk.device.socket)]
      try withGuest(machine, .load, [disk.device], options: options) { guest in
        _ = try guest.run("await_disk 0; \(Self.measure)", within: .seconds(60))
        let process = disk.device.process.processID
        let before = processorTime(of: process)
        let first = try rates(of: guest, "depth=16 measure")
        let spent = processorTime(of: process) - before
        try limit(disk, "2000/6000")
        usleep(1_000_000)
        let second = try rates(of: guest, "depth=16 measure")
        let both = try rates(of: guest, "cpu=0 depth=64 measure & cpu=1 depth=1 measure; wait")
        record("\(doorbells): \(first), \(spent) s of processor; \(second); shared \(both)\n")
        #expect(950...1020 ~= first.reduce(0, +), "\(first)")
        // It was at rest for a second before: a part of the burst, and the rate.
        #expect(2300...3700 ~= second.reduce(0, +), "\(second)")
        #expect(both.count == 2 && (both.min() ?? 0) > 300, "\(both)")
        #expect(spent < 1.5)
      }
    }

    /// Operations per second of fio in three seconds.
    private static let measure = """
      measure() {
        fio --name=a --filename=/dev/nvme0n1 --rw=randread --bs=4k --iodepth=$depth --ioengine=libaio \\
          --direct=1 --time_based --runtime=3 ${cpu:+--cpus_allowed=$cpu} --minimal \\
          | awk -F ';' '/^3;fio/ { printf "%d\\n", $6 / 4 * 1000 / $9 }'
      }
      """

    private func rates(of guest: Guest, _ script: String) throws -> [Int] {
      try guest.run(script, within: .seconds(60)).split(separator: "\n").compactMap { Int($0) }
    }

    private func limit(_ disk: NVMeDisk, _ rate: String) throws {
      let run = try ProgramRun(
        GuestEnvironment.program,
        ["ctl", "\(disk.device.process.processID)", "limits", disk.device.socket, "--ops", rate])
      #expect(run.exitCode == 0, "\(run.errors)")
    }

    /// Seconds of processor time of all threads.
    private func processorTime(of process: Int32) -> Double {
      let tasks = "/proc/\(process)/task"
      let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
      return threads.reduce(0) { sum, thread in
        let text = try? String(contentsOfFile: "\(tasks)/\(thread)/schedstat", encoding: .utf8)
        return sum + (Double(text?.split(separator: " ").first ?? "") ?? 0) / 1e9
      }
    }
  }
}
