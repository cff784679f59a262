import ArgumentParser

/// `vfio-user serve`: device processes.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a device on a UNIX socket.",
    subcommands: [ServeSerial.self, ServeNVMe.self])
}
