internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The server's end of a scenario: accepts the client, answers it, and writes down what it does.
final class PlayedServer {
  private let behaviour: Behaviour
  private let listener: ListeningSocket
  private let deadline: Deadline
  /// How long a client that says nothing counts as finished.
  private let quiet: Duration
  private var device = PlayedDevice()
  private var wire: Wire?
  private(set) var transcript = Transcript()
  private var hasAsked = false
  private var nextID: UInt16 = 0x8000

  init(
    _ behaviour: Behaviour, on listener: ListeningSocket, quiet: Duration, before deadline: Deadline
  ) {
    self.behaviour = behaviour
    self.listener = listener
    self.quiet = quiet
    self.deadline = deadline
    listener.neverWait()
  }

  /// Serves a client until it has ended, is quiet, or the deadline has passed.
  func serve(_ client: any RunningClient) -> Transcript {
    while !deadline.hasPassed, accept(from: client) {
      guard converse() else { break }
    }
    wire?.close()
    return transcript
  }

  /// Waits for a connection.
  ///
  /// - Returns: false when none comes: the client has ended, or is quiet since the connection before.
  private func accept(from client: any RunningClient) -> Bool {
    let patience = transcript.connections == 0 ? deadline : min(deadline, .after(quiet * 3))
    while true {
      if let descriptor = try? listener.accept() {
        wire = Wire(MessageSocket(adopting: descriptor))
        transcript.connections += 1
        transcript.windows = []
        return true
      }
      if let code = client.exitCode {
        if transcript.connections > 0 || code != 0 { transcript.ending = .exited(code) }
        return false
      }
      guard !patience.hasPassed else {
        if transcript.connections > 0 { transcript.ending = .running }
        return false
      }
      _ = clinux_poll(nil, 0, 2_000_000)
    }
  }

  /// Answers what comes on the connection.
  ///
  /// - Returns: whether another connection may follow.
  private func converse() -> Bool {
    while let wire {
      guard !transcript.isFull, !deadline.hasPassed else {
        transcript.ending = .busy
        return false
      }
      switch wire.next(before: min(deadline, .after(quiet))) {
      case .message(let message):
        note(message)
        guard answer(message) else {
          transcript.wasClosedByServer = true
          wire.close()
          return true
        }
      case .ended(let unfinished):
        if unfinished > 0 {
          transcript.faults.append("\(unfinished) bytes of a message, and the end")
        }
        return true
      case .silence(let unfinished):
        if unfinished > 0 || deadline.hasPassed { continue }
        if ask() { continue }
        transcript.ending = .running
        return false
      case .malformed(let why):
        transcript.faults.append(why)
        return true
      }
    }
    return false
  }

  // MARK: Answers

  private func note(_ message: Message) {
    transcript.messages.append(message)
    transcript.bytes += message.payload.count
  }

  /// - Returns: false when the behaviour ends the connection here.
  private func answer(_ message: Message) -> Bool {
    guard message.header.flags.type == 0 else { return true }
    let answer = prepared(message)
    guard message.header.wantsReply else { return true }
    pause(behaviour.delay)
    var bytes = answer.bytes(for: message.header)
    if let cut = answer.cut { bytes = Array(bytes.prefix(cut)) }
    deliver(bytes, answer.descriptors)
    if behaviour.signals, message.header.command == .deviceSetIRQs, answer.error == nil {
      for descriptor in message.descriptors { _ = clinux_eventfd_signal(descriptor.owned.number) }
    }
    return answer.cut == nil
  }

  /// The plain answer as the behaviour changes it.
  private func prepared(_ message: Message) -> Answer {
    var answer = device.answer(to: message)
    behaviour.change(message, &answer)
    if answer.error == nil { transcript.follow(message) }
    let command = device.read(RegionFacts.configuration, 4, 1)?.first ?? 0
    if command & 4 != 0 { transcript.isBusMaster = true }
    return answer
  }

  private func deliver(_ bytes: [UInt8], _ descriptors: [HeldDescriptor]) {
    switch behaviour.delivery {
    case .whole: send(bytes, descriptors)
    case .cut(let place):
      send(Array(bytes.prefix(place)), descriptors)
      guard bytes.count > place else { return }
      pause(.milliseconds(2))
      send(Array(bytes.dropFirst(place)), [])
    case .byteByByte:
      for (place, byte) in bytes.enumerated() {
        send([byte], place == 0 ? descriptors : [])
        pause(.microseconds(100))
      }
    }
  }

  private func send(_ bytes: [UInt8], _ descriptors: [HeldDescriptor]) {
    _ = wire?.send(bytes, descriptors, before: deadline)
  }

  private func pause(_ duration: Duration) {
    guard duration > .zero else { return }
    _ = clinux_poll(nil, 0, Int64(clamping: Deadline.nanoseconds(duration)))
  }

  // MARK: Questions

  /// Asks what the behaviour has to ask, once.
  ///
  /// - Returns: whether there was something to ask.
  private func ask() -> Bool {
    guard !hasAsked else { return false }
    let usable = transcript.windows.filter { $0.isReadable && $0.isWritable && $0.size >= 0x2000 }
    guard let window = usable.max(by: { $0.size < $1.size }) else { return false }
    hasAsked = true
    let questions = behaviour.questions(window)
    for question in questions { transcript.questions.append(asked(question)) }
    return !questions.isEmpty
  }

  /// Sends a question, and answers the client's commands until the reply is there.
  private func asked(_ question: Question) -> Question {
    var question = question
    nextID &+= 1
    let header = Header(
      id: nextID, command: question.command, size: UInt32(Header.wireSize + question.payload.count))
    send(header.bytes + question.payload, [])
    let patience = min(deadline, .after(.seconds(2)))
    while !patience.hasPassed, !transcript.isFull,
      case .message(let message)? = wire?.next(before: patience)
    {
      note(message)
      if message.header.flags.isReply, message.header.id == nextID {
        question.reply = message
        return question
      }
      guard answer(message) else { return question }
    }
    return question
  }
}
