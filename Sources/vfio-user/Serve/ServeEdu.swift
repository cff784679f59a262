import ArgumentParser
import EduDevice
import Logging
import VFIOUserProgram

/// `vfio-user serve edu`: QEMU's device for learning to write drivers.
struct ServeEdu: ServeSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "edu",
    abstract: "Serve the PCI teaching device that QEMU documents (1234:11e8).",
    discussion: """
      A factorial that takes a moment, interrupts to raise and acknowledge, and a DMA engine with a \
      buffer of 4096 bytes; MSI and INTx. Drivers written for QEMU's `-device edu` work with it:

        vfio-user serve edu --socket /tmp/edu.sock
        qemu-system-x86_64 -m 512M \\
          -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem \\
          -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/edu.sock"}}' ...

      DMA needs the bus master bit, and reaches as many bits of address as --dma-mask says; with \
      --log-level info the device tells why a transfer did not happen.
      """)

  @ParentCommand var parent: Serve
  @OptionGroup(title: "Socket") var socket: SocketOptions

  @Option(
    help: ArgumentHelp(
      "How many bits of an address in memory the device has; the others are taken for zero.",
      valueName: "bits"))
  var dmaMask = 28

  @OptionGroup(title: "Process") var process: PrivilegeOptions
  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    guard 1...64 ~= dmaMask else {
      throw ValidationError("--dma-mask takes 1 to 64 bits, not \(dmaMask).")
    }
  }

  var deviceType: (any SavableDevice.Type)? { EduDevice.self }

  func openDevice(_ log: DeviceLog) throws -> ServedDevice {
    var served = ServedDevice(EduDevice.pci) { context in
      EduDevice(context, dmaMask: .max >> UInt64(64 - dmaMask), logger: log.logger("edu"))
    }
    served.needs = SandboxNeeds()
    return served
  }
}
