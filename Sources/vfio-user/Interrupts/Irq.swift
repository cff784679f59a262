import ArgumentParser
import CLinux
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user irq`: waits for interrupts.
struct Irq: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Wait for interrupts of a device; show counts and rates.",
    discussion: """
      Sets an eventfd for each vector and what a driver would enable in configuration space, waits, and at the end \
      takes both away again, at Ctrl-C too. A device serves one client at a time, so the writes that make it interrupt \
      are options:

        vfio-user irq dev.sock                           all vectors, until Ctrl-C
        vfio-user irq dev.sock --trigger 0 --count 1     the server, without device
        vfio-user irq scratch.sock --write bar0:0x40=3 --count 1
        vfio-user irq edu.sock --type intx --timeout 2 \\
          --write bar0:0x60=1 --acknowledge bar0:0x64=1

      INTx is masked by each interrupt and unmasked when it was counted. It is a level: without an --acknowledge that \
      makes the device lower it, it interrupts again at once, as it would with a driver that forgets.

      Exit codes: 0 done (also by Ctrl-C or --timeout without --count), 1 fewer than --count came, or the device refused \
      or is gone, 64 the command line is wrong.
      """)

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case intx, msi, msix, err, req

    var index: InterruptIndex {
      switch self {
      case .intx: .intx
      case .msi: .msi
      case .msix: .msix
      case .err: .err
      case .req: .req
      }
    }
  }

  @Argument(help: "The device's UNIX socket.", completion: .file())
  var socket: String

  @Option(help: "The type; the first that the device has of MSI-X, MSI and INTx, if left out.")
  var type: Kind?

  @Option(
    help: ArgumentHelp("Which vectors: 0-7, or 0,3; all if left out.", valueName: "list"),
    transform: VectorSet.init(text:))
  var vectors: VectorSet?

  @Option(help: ArgumentHelp("End after so many interrupts.", valueName: "number"))
  var count: UInt64?

  @Option(
    help: ArgumentHelp("End after this time.", valueName: "seconds"), transform: Number.seconds)
  var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "Write when all is set up: REGION:OFFSET=VALUE, with /WIDTH if not 4. Repeat for more.",
      valueName: "write"), transform: WriteOrder.init(text:))
  var write: [WriteOrder] = []

  @Option(
    help: ArgumentHelp("Write after each interrupt, before INTx is unmasked.", valueName: "write"),
    transform: WriteOrder.init(text:))
  var acknowledge: [WriteOrder] = []

  @Option(help: ArgumentHelp("Have the server signal a vector (SET_IRQS).", valueName: "vector"))
  var trigger: [UInt32] = []

  @Flag(help: "Leave INTx masked after the first interrupt.")
  var noUnmask = false

  @Flag(help: "Print JSON for programs: a line for what came within 0.1 s, and one at the end.")
  var json = false

  @OptionGroup var reply: ReplyOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    if let count, count == 0 { throw ValidationError("--count takes a number from 1.") }
    if let vectors, let other = trigger.first(where: { !vectors.numbers.contains(Int($0)) }) {
      throw ValidationError(
        "--trigger \(other) is none of the --vectors that are waited for; add it there.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    try withDevice(socket, reply) { client in
      let setup = try InterruptSetup(client, type?.index, vectors, triggered: trigger)
      defer { setup.end() }
      if type == nil { try noteBetterType(setup) }
      for order in write { try order.carryOut(client) }
      for vector in trigger { try client.trigger(setup.index, vector: vector) }
      var wait = InterruptWait(setup, self)
      try wait.run()
      try wait.report()
      if wait.counts.total == 0, !Interruption.hasCome { noteNextSteps(setup) }
      if let count, wait.counts.total < count {
        if Interruption.hasCome { throw ExitCode(130) }
        throw CommandError(
          "\(wait.counts.total) of \(count) interrupts of \(setup.index) came in time.")
      }
    }
  }

  /// A driver would take the best type that configuration space has.
  private func noteBetterType(_ setup: InterruptSetup) throws {
    guard let better = try setup.betterType() else { return }
    note(
      "waiting for \(setup.index): configuration space has \(better), but DEVICE_GET_IRQ_INFO says that there are none of it. A driver would take \(better)."
    )
  }

  private func noteNextSteps(_ setup: InterruptSetup) {
    let trial =
      trigger.isEmpty
      ? "Is there something that makes the device interrupt (--write)? --trigger 0 has the server signal without the device. "
      : "The server was told to signal and has not. "
    note(
      "no interrupt of \(setup.index) came. \(trial)`vfio-user check \(socket) --only irqs` tests what the server does with eventfds; --type chooses another type."
    )
  }
}
