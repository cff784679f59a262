internal import LinuxPrimitives
internal import SystemPackage
package import VFIOUserProtocol
package import VFIOUserTransport

/// Plays the client's side of a recorded connection to a server, and compares the answers.
///
/// Commands are sent in the recorded order, each when the replies and the commands of the server that
/// were recorded before it have come. The server's own commands are answered with what the recorded
/// client has answered, else from made-up memory.
package struct ReplayRun {
  private let messages: [TracedMessage]
  private let matcher: ReplyMatcher
  private let ignored: Set<Command>
  private let timeout: Duration
  private var session: ReplaySession
  private var report = ReplayReport()
  private var counters: [EventFD] = []
  /// Recorded commands of the client that wait for a reply.
  private var open = OpenRequests()

  /// How many recorded commands of the server have not come.
  private var missing = 0

  private static let mostCounters = 8192
  /// How long a command of the server is waited for.
  private static let patience = Duration.milliseconds(30)
  private static let mostMissing = 100

  /// - Parameters:
  ///   - messages: of one connection, in the recorded order.
  ///   - masks: bytes that may differ.
  ///   - ignored: commands whose replies are not compared.
  ///   - timeout: for each reply.
  package init(
    _ messages: [TracedMessage], to socket: MessageSocket, masks: [ReplayMask] = [],
    ignoring ignored: Set<Command> = [], timeout: Duration = .seconds(10)
  ) {
    self.messages = messages
    matcher = ReplyMatcher(masks: masks)
    self.ignored = ignored
    self.timeout = timeout
    session = ReplaySession(socket, messages)
  }

  /// Plays all.
  ///
  /// - Parameter isWanted: called before each message; the replay ends early when it returns false.
  package mutating func run(while isWanted: () -> Bool = { true }) -> ReplayReport {
    for index in messages.indices {
      guard isWanted() else {
        report.interruption = "interrupted at message \(messages[index].number)"
        break
      }
      do throws(StreamError) {
        try play(index)
      } catch {
        report.interruption = "\(error), at message \(messages[index].number)"
        break
      }
    }
    report.requests = session.requests
    return report
  }

  private mutating func play(_ index: Int) throws(StreamError) {
    let message = messages[index]
    guard let header = message.header else { return }
    switch (message.stream.direction, header.flags.isReply) {
    case (.toServer, false):
      try send(message, header)
    case (.toClient, true): try compare(message, header, index)
    case (.toClient, false): try awaitRequest()
    case (.toServer, true): break
    }
  }

  /// The recorded client has seen a command of the server before it went on: so does this one.
  ///
  /// A device that polls memory does not ask as often each time. A command that does not come is waited
  /// for only briefly, and after many of them none is.
  private mutating func awaitRequest() throws(StreamError) {
    report.recordedRequests += 1
    guard missing < Self.mostMissing else { return }
    let wanted = report.recordedRequests - missing
    if try !session.awaitRequests(wanted, before: .after(min(timeout, Self.patience))) {
      missing += 1
    }
  }

  private mutating func send(_ message: TracedMessage, _ header: Header) throws(StreamError) {
    var bytes = message.bytes
    if !message.isWhole {
      report.padded += 1
      let missing = min(message.wireSize, FrameSplitter.largestMessage) - bytes.count
      bytes += [UInt8](repeating: 0, count: max(0, missing))
    }
    let descriptors = try makeUp(message, header)
    if header.wantsReply { _ = open.add(OpenRequest(CheckedMessage(message), header)) }
    if header.command == .dmaUnmap, let unmap = try? DMAUnmap(decoding: message.payload.span) {
      session.memory.unmap(unmap)
    }
    report.commands += 1
    try session.send(bytes, descriptors.numbers, before: .after(timeout))
  }

  /// Descriptors for a message; they live until it has been sent.
  private struct MadeUp {
    var files: [MadeUpMemory.File] = []
    var counters: [EventFD] = []
    var numbers: [Int32] = []
  }

  private mutating func makeUp(
    _ message: TracedMessage, _ header: Header
  ) throws(StreamError) -> MadeUp {
    var made = MadeUp()
    let map = header.command == .dmaMap ? try? DMAMap(decoding: message.payload.span) : nil
    do throws(SystemCallError) {
      for note in message.descriptors {
        let isMemory = note.kind == "memfd" || note.kind == "file"
        if isMemory || map != nil {
          let end = map.map { $0.offset.addingReportingOverflow($0.size).partialValue } ?? 0
          let file = try session.memory.file(for: note, atLeast: end)
          made.files.append(file)
          made.numbers.append(file.descriptor.number)
        } else {
          let counter = try EventFD()
          made.counters.append(counter)
          made.numbers.append(counter.descriptor.number)
        }
      }
      if let map { try session.memory.map(map, made.files.first) }
    } catch {
      throw .system(error)
    }
    counters += made.counters
    if counters.count > Self.mostCounters { counters.removeFirst(made.counters.count) }
    return made
  }

  private mutating func compare(
    _ message: TracedMessage, _ header: Header, _ index: Int
  ) throws(StreamError) {
    guard let request = open.take(for: header) else { return }
    guard let live = try session.reply(to: request.header, before: .after(timeout)) else {
      report.add(
        difference(index, header, request, "no reply within \(timeout)"))
      return
    }
    guard !ignored.contains(header.command) else { return }
    report.replies += 1
    switch matcher.compare(live, message, header) {
    case .equal: break
    case .masked: report.masked += 1
    case .different(let text): report.add(difference(index, header, request, text))
    }
  }

  private func difference(
    _ index: Int, _ header: Header, _ request: OpenRequest, _ text: String
  ) -> ReplayDifference {
    ReplayDifference(
      message: messages[index].number, command: header.command, region: request.region, text: text)
  }
}
