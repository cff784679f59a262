import ArgumentParser
import Logging
import ScratchDevice
import VFIOUserProgram

/// `vfio-user serve scratch`: a test device with one of each feature.
struct ServeScratch: ServeSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "scratch",
    abstract: "Serve a device for tests and benchmarks (1234:5c7c).",
    discussion: """
      Registers in BAR 0, 2 MiB of memory by messages in BAR 1, 1 MiB that can be mapped in two parts in \
      BAR 2, 64 MSI-X vectors in BAR 4, MSI, INTx, and a doorbell that has the device copy between guest \
      addresses and interrupt. Sources/Devices/Scratch/ScratchDevice.swift has the table of registers.

        vfio-user serve scratch --socket /tmp/scratch.sock
        qemu-system-x86_64 -m 512M \\
          -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem \\
          -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/scratch.sock"}}' ...
      """)

  @ParentCommand var parent: Serve
  @OptionGroup(title: "Socket") var socket: SocketOptions

  @OptionGroup(title: "Process") var process: PrivilegeOptions
  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions
  @OptionGroup var log: LogOptions

  var deviceType: (any SavableDevice.Type)? { ScratchDevice.self }

  func openDevice(_ log: DeviceLog) throws -> ServedDevice {
    var served = ServedDevice(ScratchDevice.pci) { try ScratchDevice($0) }
    served.needs = SandboxNeeds()
    return served
  }
}
