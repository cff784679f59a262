public import ArgumentParser
internal import CLinux

/// A program that serves one device on a socket.
///
/// ```swift
/// @main struct HelloProgram: DeviceProgram {
///   func makeDevice() -> ServedDevice { ServedDevice(HelloDevice.pci) { try HelloDevice($0) } }
/// }
/// ```
///
/// The program has the options of `vfio-user serve` (`--socket`, `--mode`, `--fd`, `--systemd`,
/// `--systemd-name`, `--memory-files`, `--control`, `--sandbox`, `--sandbox-allow`, `--log-level`), `--help` and `--version`. Properties of the
/// conforming type with `@Option` or `@Flag` become options of its own, with names other than these, and
/// `validate()` checks them.
///
/// The program prints the `-device` option for QEMU when the device is ready. SIGINT and SIGTERM end it
/// with exit code 0; the socket is removed if the program has created it. Exit code 1 means that the
/// device could not be served, 64 (`EX_USAGE`) that the command line is wrong; standard error then has
/// the reason. The program sets up swift-log; a `Logger(label:)` of the device goes to standard error.
public protocol DeviceProgram: ParsableArguments {
  /// The texts of `--help` and `--version`; by default they are derived from the program's name.
  ///
  /// `subcommands` are ignored.
  static var configuration: CommandConfiguration { get }

  /// Opens what the device needs, and describes the device.
  ///
  /// Called once, when the options are parsed and the socket is open.
  ///
  /// - Throws: any error; its description is printed, and the exit code is 1.
  func makeDevice() throws -> ServedDevice
}

extension DeviceProgram {
  /// No texts.
  public static var configuration: CommandConfiguration { CommandConfiguration() }

  /// Runs the program; for `@main`.
  public static func main() { Program.run(DeviceProgramCommand<Self>.self) }
}

/// The command line of a ``DeviceProgram``.
struct DeviceProgramCommand<Served: DeviceProgram>: DeviceCommand {
  static var configuration: CommandConfiguration {
    var configuration = Served.configuration
    let name = configuration.commandName ?? Program.name
    configuration.commandName = name
    configuration.subcommands = []
    if configuration.abstract.isEmpty {
      configuration.abstract = "Serve a PCI device on a UNIX socket, by the vfio-user protocol."
    }
    if configuration.version.isEmpty {
      configuration.version = "\(name), made with swift-vfio-user \(Program.libraryVersion)"
    }
    return configuration
  }

  @OptionGroup(title: "Socket") var socket: SocketOptions
  @OptionGroup var served: Served
  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions
  @OptionGroup var log: LogOptions

  func openDevice(_ log: DeviceLog) throws -> ServedDevice { try served.makeDevice() }

  func run() throws {
    try serve(
      [DeviceToServe(self)],
      ServingOptions(log, control: control.control, sandbox: sandbox))
  }
}
