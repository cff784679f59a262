internal import VFIOUserProtocol

/// What a client did in a scenario.
package struct Transcript: Sendable {
  /// The messages of all its connections, in order.
  var messages: [Message] = []
  /// The bytes of their payloads.
  var bytes = 0
  /// How many connections there were.
  var connections = 0
  /// What no message can be, or bytes that no message was made of.
  var faults: [String] = []
  /// The server's requests with the client's replies.
  var questions: [Question] = []
  /// The memory that the client lent at the end, and the rules that it broke on the way.
  var windows: [ClientWindow] = []
  var windowFaults: [String] = []
  /// Whether the server closed a connection.
  var wasClosedByServer = false
  /// Whether the guest has enabled bus mastering, without which a VMM may refuse all DMA.
  var isBusMaster = false
  var ending = Ending.neverCame

  enum Ending: Sendable, Equatable {
    case neverCame
    /// The client ended by itself; the number of a signal is negated.
    case exited(Int32)
    /// The client was quiet in the end and did not end.
    case running
    /// The client was still busy at the deadline.
    case busy
  }

  /// Whether no more is kept: a client must not take all memory.
  var isFull: Bool { messages.count >= 200_000 || bytes >= 256 << 20 }

  /// The commands of one kind.
  func commands(_ command: Command) -> [Message] {
    messages.filter { !$0.header.flags.isReply && $0.header.command == command }
  }

  /// What the client has asked for, without order and numbers: the infos by index, the rest by command.
  var milestones: Set<String> {
    Set(
      messages.filter { !$0.header.flags.isReply }.map { message in
        switch message.header.command {
        case .deviceGetRegionInfo, .deviceGetIRQInfo:
          "\(message.header.command) of \(message.word(8))"
        case .regionWriteMulti: "\(Command.regionWrite)"
        default: "\(message.header.command)"
        }
      })
  }
}

extension Transcript.Ending: CustomStringConvertible {
  var description: String {
    switch self {
    case .neverCame: "it never connected"
    case .exited(let code):
      code < 0 ? "signal \(-code) ended it" : "it ended with exit code \(code)"
    case .running: "it runs"
    case .busy: "it was still sending at the deadline"
    }
  }
}
