import TestSupport
import VFIOUserProtocol

/// Asks a client on one socket for memory and for the handler's services, and checks the answers.
final class StressAsker {
  /// Where things are in the device's addresses: first bytes that the device only reads and that have
  /// the pattern of ``ScriptedServer/byte(at:)``, then a part for each asker that it writes and reads.
  static let part: UInt64 = 64 << 10
  /// What threads and tasks map and unmap all the time, each from a base of its own.
  static let pages: UInt64 = 8
  static func base(of number: Int) -> UInt64 { UInt64(number + 1) << 32 }

  /// What has to come back.
  private enum Expected {
    case bytes([UInt8])
    case errno(UInt32)
    /// Depends on whether a window is there at the moment.
    case bytesOrFault([UInt8])
  }

  private let server: ScriptedServer
  private let report: StressReport
  private let mine: UInt64
  private var random: SplitMix64
  private var asked: [UInt16: Expected] = [:]
  private var nextID: UInt16 = 0
  private var written = [UInt8](repeating: 0, count: Int(part))

  /// Asks on the main socket (number 1) or the twin (number 2).
  init(_ server: ScriptedServer, _ report: StressReport, number: UInt64) {
    self.server = server
    self.report = report
    mine = number * Self.part
    random = report.random(1000 + number)
  }

  /// Asks for something, unless enough is under way.
  func askSometimes() {
    guard asked.count < 16, report.isReady.isOpen, !report.isOver.isOpen, random.next() % 4 == 0
    else { return }
    let count = 1 + random.next() % 2000
    let offset = random.next() % (Self.part - count)
    switch random.next() % 8 {
    case 0:
      let pattern = ScriptedServer.pattern(at: offset, count: Int(count))
      send(.dmaRead, longs([offset, count]), .bytes(longs([offset, count]) + pattern))
    case 1:
      let data = random.bytes(Int(count))
      written.replaceSubrange(Int(offset)..<Int(offset + count), with: data)
      let range = longs([mine + offset, count])
      send(.dmaWrite, range + data, .bytes(range))
    case 2:
      let range = longs([mine + offset, count])
      send(.dmaRead, range, .bytes(range + written[Int(offset)..<Int(offset + count)]))
    case 3, 4: askForChangingWindow()
    default: askHandler()
    }
  }

  private func askForChangingWindow() {
    let number = random.next() % 2 == 0 ? random.next() % 16 : 100 + random.next() % 4
    let count = 1 + random.next() % (2 * 4096)
    let offset = random.next() % (Self.pages * 4096 - count)
    let range = longs([Self.base(of: Int(number)) + offset, count])
    send(
      .dmaRead, range,
      .bytesOrFault(range + ScriptedServer.pattern(at: offset, count: Int(count))))
  }

  private func askHandler() {
    let service = StressHandler.Service.allCases[
      Int(random.next() % UInt64(StressHandler.Service.allCases.count))]
    let offset = random.next() % 100_000
    let expected: Expected =
      switch service {
      case .refuse: .errno(75)
      case .drop: .errno(5)
      default: .bytes(ScriptedServer.pattern(at: offset, count: 8))
      }
    send(StressHandler.command, longs([service.rawValue, offset]), expected)
  }

  private func send(_ command: Command, _ payload: [UInt8], _ expected: Expected) {
    let id = nextID
    nextID &+= 1
    asked[id] = expected
    report.asks(command.rawValue)
    server.send(message(command, id: id, payload))
  }

  /// Checks an answer of the client.
  func check(_ answer: ScriptedServer.Message) {
    guard let expected = asked.removeValue(forKey: answer.header.id) else {
      return report.addWrong("an answer to nothing: \(answer.header)")
    }
    report.isAnswered()
    let errno = answer.header.flags.contains(.error) ? answer.header.error : nil
    let isRight =
      switch expected {
      case .bytes(let bytes): errno == nil && answer.payload == bytes
      case .errno(let number): errno == number && answer.payload.isEmpty
      case .bytesOrFault(let bytes):
        errno == nil ? answer.payload == bytes : errno == 14
      }
    if !isRight { report.addWrong("a wrong answer: \(answer.header), expected \(expected)") }
  }
}
