import ArgumentParser

/// `vfio-user serve`: device processes.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a device on a UNIX socket.",
    subcommands: [ServeSerial.self, ServeEdu.self, ServeScratch.self, ServeNVMe.self])
}
