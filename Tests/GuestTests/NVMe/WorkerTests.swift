import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer

@testable import NVMeDevice

extension Guests {
  @Suite(.timeLimit(.minutes(4))) struct `A guest whose queues several threads serve` {
    /// The device is in this process: a load that makes a disk's thread lend queues is more than a guest under TCG can make.
    @Test(arguments: [NVMeConfiguration.DoorbellMode.trapped, .mapped])
    func `Data is as written, whichever thread has a queue`(
      doorbells: NVMeConfiguration.DoorbellMode
    )
      throws
    {
      let scratch = try ScratchFolder()
      var options = NVMeConfiguration(
        namespaces: [NamespaceConfiguration(try StorageFile(memory: 256 << 20))])
      options.workers = 4
      options.lending = .all
      options.doorbells = doorbells
      let configuration = options
      let server = try DeviceServer(NVMeDevice.description(of: options)) {
        try NVMeDevice($0, configuration)
      }
      guard let disk = server.device as? NVMeDevice else { return }
      defer { disk.close() }
      let socket = scratch.path("disk.sock")
      try server.start(on: ListeningSocket(path: FilePath(socket)))
      defer { server.stop() }
      let machine = Machine(memory: 512)
      let guest = ["-smp", "4", "-device", machine.plug(socket)]
      try withGuest(machine, .load, [], options: guest) { guest in
        let said = try guest.run(
          """
          await_disk 0
          # Of a size that the fast path takes: a queue with other commands stays with the disk's own thread.
          for job in 0 1 2 3; do
            fio --name=mix --filename=/dev/nvme0n1 $mix --bsrange=4k-64k --numjobs=1 --size=48m --offset=$((job * 50))m \\
              --cpus_allowed=$job --time_based --runtime=\(LoadSize.seconds) > /tmp/fio-$job 2>&1 || cat /tmp/fio-$job &
          done
          wait
          sync
          cat /tmp/fio-* | awk -F ';' '/^3;fio/ { errors += $5; jobs++ } END { print jobs " jobs, errors " errors }'
          complaints || true
          """, within: .seconds(180))
        #expect(said.split(separator: "\n").map(String.init) == ["4 jobs, errors 0"], "\(said)")
      }
      let work = DiskCounters.work(of: disk.controller.workers.counters)
      record(
        "\(doorbells): workers have done \(work.kinds.map(\.count)) of \(disk.work.kinds.map(\.count))\n"
      )
      #expect(work.kinds[0].count > 100 && work.kinds[1].count > 100)
    }
  }
}
