import ArgumentParser

/// `vfio-user nvme`: drives an NVMe disk without a virtual machine.
struct NVMeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nvme",
    abstract: "Drive an NVMe disk behind a socket, without a VM.",
    discussion: """
      These commands are a small NVMe driver of their own: they enable the controller, make queues in memory \
      that they share with it, and read and write blocks. A device serves one client at a time: a disk that \
      a VM uses answers that it is busy.

        vfio-user serve nvme --socket /tmp/disk.sock --file /tmp/disk.img --size 1G &
        vfio-user nvme identify /tmp/disk.sock
        vfio-user nvme bench /tmp/disk.sock
      """,
    subcommands: [
      NVMeIdentify.self, NVMeRead.self, NVMeWrite.self, NVMeBench.self, NVMeVerify.self,
      NVMeServeNBD.self,
    ])
}

/// A namespace of a device.
struct NVMeTarget: ParsableArguments {
  @Argument(help: "The disk's UNIX socket.", completion: .file())
  var socket: String

  @Option(help: ArgumentHelp("The namespace.", valueName: "number"))
  var namespace: UInt32 = 1

  func validate() throws {
    guard 1..<UInt32.max ~= namespace else {
      throw ValidationError("--namespace takes a number from 1.")
    }
  }
}

/// How a long command uses the disk.
struct NVMeDriving: ParsableArguments {
  @Flag(help: "Poll for completions instead of waiting for interrupts.")
  var poll = false

  @Flag(help: "Write every doorbell register, also where a shadow doorbell would do.")
  var noShadowDoorbells = false

  @Flag(
    help: "Write no doorbell in the disk's memory, also where it offers that (--doorbells mapped).")
  var noMappedDoorbells = false
}
