import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

/// A server that answers out of order and late, and asks for memory all the time.
final class StressServer {
  /// The client's memory starts here in the device's addresses: one half is only read and has the
  /// pattern of ``ScriptedServer/byte(at:)``, the other half is written and read again.
  static let half: UInt64 = 64 << 10

  private let server: ScriptedServer
  private let wrong: Notes<String>
  private let isOver: Gate
  private var random: SplitMix64
  private var held: [ScriptedServer.Message] = []
  private var asked: [UInt16: [UInt8]] = [:]
  private var nextID: UInt16 = 0
  private var hasMemory = false
  private var written = [UInt8](repeating: 0, count: Int(half))
  private var posted: [UInt64: UInt64] = [:]
  private(set) var transfers = 0

  init(_ server: ScriptedServer, _ wrong: Notes<String>, _ isOver: Gate) {
    self.server = server
    self.wrong = wrong
    self.isOver = isOver
    random = SplitMix64(seed: 4711)
  }

  /// Runs until the client goes.
  func run() throws {
    while true {
      let wait = held.isEmpty ? 20_000 : Int(random.next() % 1500)
      do throws(StreamFailure) {
        take(try server.receive(within: .microseconds(wait)))
      } catch {
        guard case .deadlinePassed = error else { return }
        answerOne()
      }
      while held.count > Int(random.next() % 24) { answerOne() }
      if hasMemory, asked.count < 16, random.next() % 4 == 0, !isOver.isOpen { ask() }
    }
  }

  private func take(_ message: ScriptedServer.Message) {
    if message.header.flags.isReply {
      checkAnswer(message)
    } else if message.header.flags.contains(.noReply) {
      checkPosted(message)
    } else {
      if message.command == .dmaMap { hasMemory = true }
      held.append(message)
    }
  }

  private func answerOne() {
    guard !held.isEmpty else { return }
    let place = Int(random.next() % UInt64(held.count))
    server.answer(held.remove(at: place))
  }

  private func ask() {
    let count = 1 + random.next() % 2000
    let offset = random.next() % (Self.half - count)
    let id = nextID
    nextID &+= 1
    transfers += 1
    switch random.next() % 3 {
    case 0:
      asked[id] = longs([offset, count]) + ScriptedServer.pattern(at: offset, count: Int(count))
      server.send(message(.dmaRead, id: id, longs([offset, count])))
    case 1:
      let data = random.bytes(Int(count))
      written.replaceSubrange(Int(offset)..<Int(offset + count), with: data)
      asked[id] = longs([Self.half + offset, count])
      server.send(message(.dmaWrite, id: id, longs([Self.half + offset, count]) + data))
    default:
      asked[id] =
        longs([Self.half + offset, count]) + written[Int(offset)..<Int(offset + count)]
      server.send(message(.dmaRead, id: id, longs([Self.half + offset, count])))
    }
  }

  private func checkAnswer(_ message: ScriptedServer.Message) {
    guard let expected = asked.removeValue(forKey: message.header.id) else {
      return wrong.add("an answer to nothing: \(message.header)")
    }
    guard message.header.flags == .reply, message.payload == expected else {
      return wrong.add("a wrong answer: \(message.header)")
    }
  }

  /// Each thread posts to an offset of its own, and counts.
  private func checkPosted(_ message: ScriptedServer.Message) {
    guard message.command == .regionWriteMulti else {
      return check(offset: message.long(at: 0), value: message.long(at: 16))
    }
    for place in stride(from: 8, to: message.payload.count, by: 24) {
      check(offset: message.long(at: place), value: message.long(at: place + 16))
    }
  }

  private func check(offset: UInt64, value: UInt64) {
    let last = posted[offset] ?? 0
    if value != last + 1 { wrong.add("posted \(value) after \(last)") }
    posted[offset] = value
  }
}
