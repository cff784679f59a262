import Glibc
import SerialDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

/// A port and a program at the other end of each kind of cable.
struct Connection {
  enum Kind: CaseIterable {
    case pseudoTerminal, socket, pipes, socketStreams
  }

  let device: SerialDevice
  let program: Program

  init(_ kind: Kind) throws {
    switch kind {
    case .pseudoTerminal:
      let terminal = try PseudoTerminal()
      device = try SerialDevice(.pseudoTerminal(terminal))
      program = try Program(at: terminal.path)
    case .socket:
      let path = FilePath("/tmp/serial-test-\(UInt64.random(in: 0 ... .max))")
      device = try SerialDevice(.socket(try ListeningSocket(path: path)))
      program = try Program(connectingTo: path)
    case .pipes:
      let down = try Pipe()
      let up = try Pipe()
      device = try SerialDevice(
        .streams(try StreamPair(input: down.reading, output: up.writing)))
      program = Program(reading: try up.reading.duplicate(), writing: try down.writing.duplicate())
    case .socketStreams:
      let (ours, theirs) = try MessageSocket.pair()
      let end = try ours.descriptor.duplicate()
      device = try SerialDevice(.streams(try StreamPair(input: end, output: end)))
      program = Program(
        reading: try theirs.descriptor.duplicate(), writing: try theirs.descriptor.duplicate())
    }
  }
}

/// Bytes through real pseudo-terminals, sockets and pipes.
@Suite(.timeLimit(.minutes(5))) struct FarEndTests {
  private static let stall = Duration.milliseconds(200)
  private static let much = 64 << 10
  /// More than the port and any of the kernel's buffers hold.
  private static let tooMuch = 512 << 10

  private static let allBytes: [UInt8] = {
    var generator = SplitMix64(seed: 16550)
    return generator.bytes(tooMuch)
  }()

  private func random(_ count: Int) -> [UInt8] { Array(Self.allBytes[..<count]) }

  @Test(arguments: Connection.Kind.allCases)
  func `Every byte value passes unharmed in both directions`(kind: Connection.Kind) throws {
    let connection = try Connection(kind)
    let guest = Guest(connection.device)
    guest.open()
    let all = (0...255).map { UInt8($0) }
    #expect(guest.send(all[...]) == all.count)
    #expect(connection.program.read(all.count) == all)
    #expect(connection.program.write(all) == all.count)
    #expect(guest.receive(all.count) == all)
  }

  @Test(arguments: Connection.Kind.allCases)
  func `A far end that does not read makes the guest wait and no byte is lost`(
    kind: Connection.Kind
  ) throws {
    let connection = try Connection(kind)
    let guest = Guest(connection.device)
    guest.open()
    let bytes = random(Self.tooMuch)
    let first = guest.send(bytes[...], patience: Self.stall)
    #expect(first < bytes.count)
    guest.write(0x02, to: .interruptEnable)
    #expect(!guest.interruptLevel, "no transmitter interrupt comes until the far end reads")
    let program = connection.program
    let reading = try Parallel { program.read(first + Self.much) }
    #expect(eventually { guest.interruptLevel })
    #expect(guest.send(bytes[first..<first + Self.much]) == Self.much)
    #expect(reading.finish() == Array(bytes[..<(first + Self.much)]))
  }

  @Test(arguments: Connection.Kind.allCases)
  func `A guest that does not read makes the far end wait and no byte is lost`(
    kind: Connection.Kind
  ) throws {
    let connection = try Connection(kind)
    let guest = Guest(connection.device)
    guest.open(interrupts: 0x01)
    let bytes = random(Self.tooMuch)
    let first = connection.program.write(bytes, patience: Self.stall)
    #expect(first < bytes.count)
    #expect(guest.interruptLevel)
    #expect(guest.receive(first) == Array(bytes[..<first]))
    #expect(guest.read(.lineStatus) == 0x60, "nothing was overrun")
  }

  @Test(arguments: Connection.Kind.allCases)
  func `A guest that is driven by interrupts echoes 64 KiB`(kind: Connection.Kind) throws {
    let connection = try Connection(kind)
    let (guest, program) = (Guest(connection.device), connection.program)
    guest.open(interrupts: 0x01)
    let bytes = random(Self.much)
    let writing = try Parallel { program.write(bytes) }
    let reading = try Parallel { program.read(bytes.count) }
    guest.echo(bytes.count)
    #expect(writing.finish() == bytes.count)
    #expect(reading.finish() == bytes)
  }

  @Test func `A pseudo-terminal keeps bytes while nobody has it open`() throws {
    let terminal = try PseudoTerminal()
    let guest = Guest(try SerialDevice(.pseudoTerminal(terminal)))
    guest.open()
    for word in ["before anybody came", "between two", "after another"] {
      let bytes = Array(word.utf8)
      #expect(guest.send(bytes[...]) == bytes.count)
      let program = try Program(at: terminal.path)
      #expect(program.read(4) == Array(bytes[..<4]))
      #expect(program.write(bytes) == bytes.count)
      _ = consume program
      #expect(guest.receive(bytes.count) == bytes)
      #expect(try Program(at: terminal.path).read(bytes.count - 4) == Array(bytes[4...]))
    }
  }

  @Test func `The next program on a socket waits and gets what was written meanwhile`() throws {
    let path = FilePath("/tmp/serial-next-\(UInt64.random(in: 0 ... .max))")
    let guest = Guest(try SerialDevice(.socket(try ListeningSocket(path: path))))
    guest.open()
    #expect(guest.send([1, 2, 3]) == 3)
    var first: Program? = try Program(connectingTo: path)
    #expect(first?.read(3) == [1, 2, 3])
    let second = try Program(connectingTo: path)
    #expect(second.write([9]) == 1)
    #expect(first?.write([8]) == 1)
    #expect(guest.receive(2, patience: Self.stall) == [8])
    first = nil
    #expect(guest.receive(1) == [9])
    #expect(guest.send([4, 5]) == 2)
    #expect(second.read(2) == [4, 5])
  }

  @Test
  func
    `A program that has shut down reading still sends and the next one gets its unread bytes`()
    throws
  {
    let path = FilePath("/tmp/serial-shut-\(UInt64.random(in: 0 ... .max))")
    let guest = Guest(try SerialDevice(.socket(try ListeningSocket(path: path))))
    guest.open()
    for round in 1...3 as ClosedRange<UInt8> {
      let program = try Program(connectingTo: path)
      // What the last one did not want to read.
      if round > 1 { #expect(program.read(2) == [round - 1, 77]) }
      #expect(guest.send([99]) == 1)
      #expect(program.read(1) == [99])
      program.shut(Int32(SHUT_RD))
      #expect(guest.send([round, 77]) == 2)
      for byte in [round, 88] {
        #expect(program.write([byte]) == 1)
        #expect(guest.receive(1) == [byte])
      }
    }
  }

  @Test func `A program that has shut down writing still reads and the next one does both`() throws
  {
    let path = FilePath("/tmp/serial-half-\(UInt64.random(in: 0 ... .max))")
    let guest = Guest(try SerialDevice(.socket(try ListeningSocket(path: path))))
    guest.open()
    for round in 1...3 as ClosedRange<UInt8> {
      let program = try Program(connectingTo: path)
      #expect(program.write([round]) == 1)
      program.shut(Int32(SHUT_WR))
      #expect(guest.receive(1) == [round])
      for byte in [round, round + 100] {
        #expect(guest.send([byte]) == 1)
        #expect(program.read(1) == [byte])
      }
    }
  }

  @Test func `Bytes that a program sends before it disconnects arrive even if the guest is slow`()
    throws
  {
    let path = FilePath("/tmp/serial-leave-\(UInt64.random(in: 0 ... .max))")
    let guest = Guest(try SerialDevice(.socket(try ListeningSocket(path: path))))
    var program: Program? = try Program(connectingTo: path)
    let bytes = random(Self.much)
    let first = program?.write(bytes, patience: Self.stall) ?? 0
    program = nil
    guest.open()
    #expect(guest.receive(first) == Array(bytes[..<first]))
  }

  @Test func `The end of the input stream does not end the output stream`() throws {
    let down = try Pipe()
    let up = try Pipe()
    let pair = try StreamPair(input: down.reading, output: up.writing)
    let guest = Guest(try SerialDevice(.streams(pair)))
    let reader = Program(reading: try up.reading.duplicate(), writing: try up.writing.duplicate())
    guest.open()
    do {
      _ = consume down
    }
    #expect(guest.receive(1, patience: Self.stall).isEmpty)
    #expect(guest.send([1, 2, 3]) == 3)
    #expect(reader.read(3) == [1, 2, 3])
  }

  @Test func `Output to a closed pipe is discarded without SIGPIPE`() throws {
    let down = try Pipe()
    let up = try Pipe()
    let pair = try StreamPair(input: down.reading, output: up.writing)
    let guest = Guest(try SerialDevice(.streams(pair)))
    guest.open()
    do {
      _ = consume up
    }
    #expect(guest.send(random(Self.much)[...]) == Self.much)
  }
}
