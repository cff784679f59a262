import ArgumentParser
import Logging
import NVMeDevice
import VFIOUserProgram

/// `vfio-user serve nvme`: a disk.
struct ServeNVMe: ServeSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "nvme",
    abstract: "Serve an NVMe disk.",
    discussion: """
      The guest's own driver finds it: under Linux it becomes /dev/nvme0n1 or the next that is free.

        vfio-user serve nvme --socket /tmp/disk.sock --file disk.img --size 10G
        vfio-user serve nvme --socket /tmp/disk.sock --memory 1G
        vfio-user serve nvme --socket /tmp/disk.sock --nbd 'nbd+unix:///?socket=/run/nbd.sock'
        vfio-user serve nvme --socket /tmp/disk.sock --namespace file=a.img --namespace file=b.img,read-only

      The file is locked: no second process writes to it. Its state (the size of its blocks when the guest has \
      formatted it, its name, its counters) is kept beside it in FILE.nvme: take both when you move it. After it was made larger (truncate -s 20G), \
      SIGHUP makes the guest see the new size.

      A disk moves to another process while its guest goes on: start that with --incoming and the same file, and have \
      the client migrate. The file changes hands with the state.

      SPDK's initiator (the VFIOUSER transport) needs --doorbells mapped: it rings only in memory. A comma in a path is \
      written twice in --namespace.
      """)

  @ParentCommand var parent: Serve
  @OptionGroup(title: "Socket") var socket: SocketOptions
  @OptionGroup(title: "Disk") var disk: DiskOptions
  @OptionGroup(title: "Process") var process: PrivilegeOptions
  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions
  @OptionGroup var log: LogOptions

  var deviceType: (any SavableDevice.Type)? { NVMeDevice.self }

  func openDevice(_ log: DeviceLog) throws -> ServedDevice {
    let opened = try disk.open(log.logger("nvme"), socket: socket.name)
    var served = ServedDevice(NVMeDevice.description(of: opened)) { context in
      try makeDisk(context, opened)
    } close: {
      $0.close()
    } onHangup: {
      $0.measure()
    }
    if disk.incoming { served.notice = "the disk waits for its state (--incoming)" }
    served.resize = opened.resize
    served.rates = .ofDisks
    served.needs = opened.needs
    served.removeMadeFiles = { opened.namespaces.forEach { $0.removeMadeFiles() } }
    return served
  }
}
