import ArgumentParser
import VFIOUserProgram

/// The `vfio-user` program; each subcommand has its own file.
@main
struct VFIOUserCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vfio-user",
    abstract: "PCI devices in processes of their own, by the vfio-user protocol.",
    discussion: """
      A device is served on a UNIX socket, and a VMM plugs it into a virtual machine:

        vfio-user serve serial --socket /tmp/serial.sock --pty
        qemu-system-x86_64 ... -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/serial.sock"}}'

      QEMU 10.1 or newer has vfio-user-pci. Without a virtual machine `vfio-user demo` serves a device and drives it.

      A device does not work in a guest? `info` says what it is, `check` whether its server keeps to the specification, \
      `irq --trigger 0` whether interrupts arrive, `read` what its registers say, and `trace` what the VMM and the device say to \
      each other.

      Exit codes: 0 done, 1 the operation failed, 64 the command line or a configuration file is wrong.
      """,
    version: Program.libraryVersion,
    subcommands: [
      Serve.self, Info.self, ReadCommand.self, WriteCommand.self, Irq.self, ResetCommand.self,
      BenchCommand.self, BenchPeer.self, Trace.self, Replay.self, CheckCommand.self, Ctl.self,
      Top.self, UpgradeCommand.self, NVMeCommand.self, Demo.self,
    ])

  static func main() {
    Program.run(Self.self) { arguments in
      try UnknownCommand.check(arguments, Self.self)
      try RenamedOptions.check(arguments)
    }
  }
}
