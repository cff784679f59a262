import CLinux
import Glibc
import SerialDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

/// What belongs to the whole process; each test runs in one of its own.
@Suite(.timeLimit(.minutes(5))) struct ProcessTests {
  @Test func `A closed serial device leaves no descriptor with any kind of far end`() async {
    await #expect(processExitsWith: .success) {
      // The runtime's own threads open a timer when they like; a leak is one descriptor per turn.
      let turns = 16
      let before = openDescriptors()
      guard try Self.openWithLeak(of: 2 * turns) >= before + turns else { exit(1) }
      for _ in 0..<turns {
        for kind in Connection.Kind.allCases { try Self.use(kind) }
      }
      let limit = before + turns
      guard eventually({ openDescriptors() < limit }) else { exit(2) }
    }
  }

  /// Proves that a leak would be seen.
  private static func openWithLeak(of count: Int) throws -> Int {
    let leak = try (0..<count).map { _ in try EventFD() }
    return withExtendedLifetime(leak) { openDescriptors() }
  }

  private static func use(_ kind: Connection.Kind) throws {
    let connection = try Connection(kind)
    let guest = Guest(connection.device)
    guest.open()
    guard guest.send([1, 2, 3]) == 3, connection.program.read(3) == [1, 2, 3] else { exit(3) }
    _ = connection.program.write([UInt8](repeating: 0, count: 100))
    connection.device.close()
  }

  @Test func `A terminal as standard input is raw while it is in use and restored afterwards`()
    async
  {
    await #expect(processExitsWith: .success) {
      let terminal = try PseudoTerminal()
      let slave = try FileDescriptor.open(
        terminal.path, .readWrite, options: .init(rawValue: O_NOCTTY))
      dup2(slave.rawValue, 0)
      let cooked = tcflag_t(ICANON | ECHO | ISIG)
      var settings = termios()
      unsafe tcgetattr(0, &settings)
      settings.c_lflag |= cooked
      unsafe tcsetattr(0, TCSANOW, &settings)

      var pair: StreamPair? = try .standard()
      unsafe tcgetattr(0, &settings)
      guard settings.c_lflag & cooked == tcflag_t(ISIG) else { exit(1) }
      guard (try? StreamPair.standard()) == nil else { exit(2) }
      pair = nil
      unsafe tcgetattr(0, &settings)
      guard pair == nil, settings.c_lflag & cooked == cooked else { exit(3) }

      pair = try .standard(signalKeys: .passToGuest)
      unsafe tcgetattr(0, &settings)
      guard pair != nil, settings.c_lflag & cooked == 0 else { exit(4) }
      clinux_terminal_restore()
      unsafe tcgetattr(0, &settings)
      guard settings.c_lflag & cooked == cooked else { exit(5) }
    }
  }

  @Test func `The serial device does not change the file status flags of shared streams`() async {
    await #expect(processExitsWith: .success) {
      let pipe = try Pipe()
      let before = fcntl(pipe.writing.number, F_GETFL)
      let pair = try StreamPair(input: pipe.reading, output: pipe.writing)
      let guest = Guest(try SerialDevice(.streams(pair)))
      guard guest.send([1]) == 1 else { exit(1) }
      guard fcntl(pipe.writing.number, F_GETFL) == before else { exit(2) }
      guard fcntl(pipe.reading.number, F_GETFL) & O_NONBLOCK == 0 else { exit(3) }
    }
  }
}
