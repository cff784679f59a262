import ArgumentParser
import CLinux
import Logging
import NVMeDevice
import VFIOUserServer
import VFIOUserTransport

/// `vfio-user serve nvme`: a disk.
struct ServeNVMe: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nvme",
    abstract: "Serve an NVMe disk.",
    discussion: """
      The guest's own driver finds it: under Linux it becomes /dev/nvme0n1 or the next that is free.

        vfio-user serve nvme --socket /tmp/disk.sock --file disk.img --size 10G
        vfio-user serve nvme --socket /tmp/disk.sock --memory 1G
        vfio-user serve nvme --socket /tmp/disk.sock --namespace file=a.img --namespace file=b.img,read-only

      The file is locked: no second process writes to it. After it was made larger (truncate -s 20G), \
      SIGHUP makes the guest see the new size.
      """)

  @OptionGroup(title: "Socket") var socket: SocketOptions
  @OptionGroup(title: "Disk") var disk: DiskOptions
  @OptionGroup var log: LogOptions

  func run() throws {
    log.bootstrap()
    let device = try disk.makeDevice()
    let listener = try socket.listen()
    onHangup { device.measure() }
    try serve(device, on: listener)
    device.close()
  }
}

/// Calls `body` at each SIGHUP, on a thread of its own; call it before other threads start.
func onHangup(_ body: @escaping @Sendable () -> Void) {
  clinux_block_hangup()
  try? DetachedThread.start("hangup") {
    while clinux_wait_for_hangup() == 0 { body() }
  }
}
