import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

/// A server that answers out of order and late, and asks all the time, on its twin socket too if it has one.
final class StressServer {
  private let server: ScriptedServer
  private let report: StressReport
  private let asker: StressAsker
  private var random: SplitMix64
  private var held: [ScriptedServer.Message] = []

  init(_ server: ScriptedServer, _ report: StressReport) {
    self.server = server
    self.report = report
    asker = StressAsker(server, report, number: 1)
    random = report.random(3000)
  }

  /// Negotiates, with a twin socket or without, and runs until the client goes.
  static func run(_ server: ScriptedServer, _ report: StressReport, twin: Bool) throws {
    guard twin else {
      try server.agree()
      return StressServer(server, report).run()
    }
    let (mine, theirs) = try MessageSocket.pair()
    var list = DescriptorList()
    list.append(try theirs.descriptor.duplicate())
    try server.agree(
      #"{"capabilities":{"write_multiple":true,"twin_socket":{"supported":true,"fd_index":0}}}"#,
      descriptors: list)
    try DetachedThread.start("twin") { askOnTwin(ScriptedServer(mine), report) }
    StressServer(server, report).run()
    mine.shutdown()
  }

  /// On the twin socket nothing comes but answers.
  private static func askOnTwin(_ twin: ScriptedServer, _ report: StressReport) {
    let asker = StressAsker(twin, report, number: 2)
    var random = report.random(3001)
    while true {
      do throws(StreamError) {
        asker.check(try twin.receive(within: .microseconds(Int(random.next() % 1500))))
      } catch {
        guard case .deadlinePassed = error else { return }
      }
      asker.askSometimes()
    }
  }

  private func run() {
    while true {
      let wait = held.isEmpty ? 5000 : Int(random.next() % 1500)
      do throws(StreamError) {
        take(try server.receive(within: .microseconds(wait)))
      } catch {
        guard case .deadlinePassed = error else { return }
        answerOne()
      }
      while held.count > Int(random.next() % 24) { answerOne() }
      asker.askSometimes()
    }
  }

  private func take(_ message: ScriptedServer.Message) {
    if message.header.flags.isReply {
      asker.check(message)
    } else if message.header.flags.contains(.noReply) {
      takePosted(message)
    } else {
      held.append(message)
    }
  }

  /// Whoever posts does so at an offset of their own, and counts.
  private func takePosted(_ message: ScriptedServer.Message) {
    guard message.command == .regionWriteMulti else {
      return report.sees(message.long(at: 16), at: message.long(at: 0))
    }
    for place in stride(from: 8, to: message.payload.count, by: 24) {
      report.sees(message.long(at: place + 16), at: message.long(at: place))
    }
  }

  private func answerOne() {
    guard !held.isEmpty else { return }
    let place = Int(random.next() % UInt64(held.count))
    let message = held.remove(at: place)
    guard message.command == .deviceGetRegionInfo else { return server.answer(message) }
    // With a descriptor, so that those of late replies are seen to be closed.
    server.reply(to: message, words([32, 7, 0, 0, 0x1000, 0, 0, 0]), descriptors: descriptors(1))
  }
}
