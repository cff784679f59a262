import ArgumentParser
import FoundationEssentials
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user demo serial`: a serial port from end to end, without a virtual machine.
struct DemoSerial: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serial",
    abstract: "Serve a serial port from a process of its own, and drive it without a VM.",
    discussion: """
      Starts a device process, connects to it as a VMM would, shows what the device is, sends bytes \
      through it in both directions with interrupts, measures, and ends with the QEMU command line \
      that attaches the same device to a virtual machine.
      """)

  @Option(help: ArgumentHelp("Bytes to send each way.", valueName: "count"))
  var bytes = 4096

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard 1...(16 << 20) ~= bytes else {
      throw ValidationError("--bytes takes a number from 1 to 16777216.")
    }
  }

  func run() throws {
    log.bootstrap()
    try withDemoFolder { folder in
      let socket = folder.appending("port.sock")
      let farEnd = folder.appending("far.sock")
      let process = try DemoProcess("serial", ["--listen", farEnd.string], socket: socket)
      defer { process.stop() }
      try say("1. A device process (pid \(process.pid)) serves a serial port on \(socket)")
      do {
        let client = try Client(connectingTo: socket)
        try say("\n2. What a VMM finds there")
        try say(DeviceSummary(of: client).overview)
        try exercise(client, farEnd)
        try measure(client)
      } catch let error as ClientError {
        throw CommandError(
          error, device: socket.string, example: "serial --pty --socket \(socket)", wasReached: true
        )
      }
    }
    try say("\n5. The same device in a virtual machine (QEMU 10.1 or newer)")
    try say(Self.commandLines)
  }

  private func exercise(_ client: Client, _ farEnd: FilePath) throws {
    try say("\n3. \(bytes) random bytes each way through its registers, with interrupts")
    let far = try FarProgram(farEnd)
    var driver = try SerialDriver(client)
    let toDevice = try pass(bytes) { piece in
      try driver.send(piece)
      return try far.receive(piece.count)
    }
    try say("   to the far end:   \(toDevice), \(driver.interrupts) interrupts")
    let before = driver.interrupts
    let fromDevice = try pass(bytes) { piece in
      try far.send(piece)
      return try driver.receive(piece.count)
    }
    try say("   from the far end: \(fromDevice), \(driver.interrupts - before) interrupts")
  }

  /// Sends random bytes in pieces, and compares what is received with what was sent.
  private func pass(_ count: Int, _ through: ([UInt8]) throws -> [UInt8]) throws -> String {
    let start = ContinuousClock.now
    var left = count
    while left > 0 {
      let piece = (0..<min(left, 256)).map { _ in UInt8.random(in: .min ... .max) }
      guard try through(piece) == piece else {
        throw CommandError("bytes were changed on their way through the serial port.")
      }
      left -= piece.count
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return "all arrived unchanged, \(Int(Double(count) / seconds / 1000)) kB/s"
  }

  private func measure(_ client: Client) throws {
    try say(
      "\n4. How long it takes (both processes share this machine's cores with everything else)")
    let rounds = 10_000
    let scratch: UInt64 = 7
    let reads = try Timings(rounds) { _ = try client.load(.bar0, at: scratch, as: UInt8.self) }
    try say("   register read,  round trip: \(reads)")
    let writes = try Timings(rounds) { try client.store(UInt8(0x55), .bar0, at: scratch) }
    try say("   register write, round trip: \(writes)")
  }

  private static let commandLines = """
       vfio-user serve serial --socket /tmp/port.sock --pty &
       qemu-system-x86_64 -accel kvm -m 512M \\
         -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem \\
         -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/port.sock"}}' \\
         -drive file=YOUR-GUEST.img,if=virtio
    """
}
