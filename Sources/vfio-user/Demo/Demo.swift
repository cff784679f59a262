import ArgumentParser

/// `vfio-user demo`: a demonstration without a virtual machine.
struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a device from a process of its own, and drive it without a VM.",
    subcommands: [DemoDisk.self, DemoSerial.self, DemoMigration.self],
    defaultSubcommand: DemoDisk.self)
}
