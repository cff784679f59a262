import ArgumentParser
import Logging
import SerialDevice
import SystemPackage
import VFIOUserProgram

/// `vfio-user serve serial`: a 16550A on the PCI bus.
struct ServeSerial: ServeSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "serial",
    abstract: "Serve a PCI serial port (16550A).",
    discussion: """
      The guest's own driver finds it: under Linux it becomes /dev/ttyS1 or the next that is free. \
      The cable of the port leads to one of three far ends:

        vfio-user serve serial --socket /tmp/port.sock --pty              then: screen PATH
        vfio-user serve serial --socket /tmp/port.sock --stdio            this terminal
        vfio-user serve serial --socket /tmp/port.sock --listen /tmp/far  then: socat - UNIX:/tmp/far

      Nothing is lost when the far end is slow or stops: the guest waits, and the other way round.
      """)

  @ParentCommand var parent: Serve
  @OptionGroup(title: "Socket") var socket: SocketOptions

  @Flag(help: "Far end: a pseudo-terminal, whose path is printed.")
  var pty = false

  @Flag(help: "Far end: standard input and output.")
  var stdio = false

  @Option(
    help: ArgumentHelp(
      "Far end: a UNIX socket to create, for one program at a time.", valueName: "path"),
    completion: .file())
  var listen: String?

  @OptionGroup(title: "Process") var process: PrivilegeOptions
  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    let farEnds = [pty, stdio, listen != nil].filter { $0 }.count
    guard farEnds == 1 else {
      throw ValidationError("choose one far end: --pty, --stdio or --listen PATH.")
    }
    guard listen == nil || listen != socket.socket else {
      throw ValidationError("--socket and --listen need two different paths.")
    }
  }

  var deviceType: (any SavableDevice.Type)? { SerialDevice.self }

  /// What the far end needs while it is served.
  private var needs: SandboxNeeds {
    var needs = SandboxNeeds()
    needs.sockets = [listen.map { FilePath($0) }].compactMap(\.self)
    return needs
  }

  func openDevice(_ log: DeviceLog) throws -> ServedDevice {
    let name = "far end of \(socket.name)"
    let terminal = try pty ? PseudoTerminal(keptAs: name) : nil
    let listener = try listen.map { try KeptListener(FilePath($0), keptAs: "listener of \(name)") }
    let farEnd: FarEnd
    if let terminal {
      farEnd = .pseudoTerminal(terminal)
    } else if let listener {
      farEnd = .socket(listener.socket)
    } else {
      farEnd = .streams(try .standard())
    }
    var served = ServedDevice(SerialDevice.pci) { context in
      try SerialDevice(context, farEnd, keptAs: name, logger: log.logger("serial"))
    } close: {
      $0.close()
    }
    served.kept = listener?.kept
    served.needs = needs
    served.notice = terminal.map { "\($0.path)" }
    served.usesStandardOutput = stdio
    return served
  }
}
