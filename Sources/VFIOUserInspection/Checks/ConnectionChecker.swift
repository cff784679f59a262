internal import VFIOUserProtocol

/// Follows one connection and finds what the specification does not permit.
///
/// It judges only what both sides have sent; where the specification is silent nothing is said.
package struct ConnectionChecker: Sendable {
  /// Commands without a reply, by who has sent them.
  var open: [TracedStream: OpenRequests] = [:]
  var windows = WindowMap()
  var negotiation = NegotiationCheck()
  var device = DeviceKnowledge()

  /// Whether messages are missing, so that nothing is said about what they may have been.
  package var hasGaps = false

  package init() {}

  /// Number of commands that still wait for a reply.
  package var openCount: Int { open.values.reduce(0) { $0 + $1.count } }

  /// The commands that still wait for a reply, the oldest first: `REGION_READ #7`.
  package var unanswered: [String] {
    open.values.flatMap(\.requests).sorted { $0.instant < $1.instant }
      .map { "\($0.header.command) #\($0.header.id)" }
  }

  /// Looks at the next message.
  package mutating func check(_ message: TracedMessage) -> CheckedMessage {
    var checked = CheckedMessage(message)
    guard let header = checked.header else {
      checked.violations.append(defect(message))
      return checked
    }
    nameRegisters(header, &checked)
    var findings = HeaderCheck.violations(header, message)
    let limit = negotiation.descriptorLimit(of: message.stream.direction)
    if message.descriptors.count > limit {
      findings.append(
        Violation(
          Clause.version,
          "\(message.descriptors.count) descriptors, max_msg_fds of the receiver is \(limit)"))
    }
    if header.flags.isReply {
      findings += reply(header, &checked)
    } else if header.flags.type == 0 {
      findings += command(header, checked)
    }
    checked.violations = findings
    return checked
  }

  /// What is wrong with the payload by itself.
  private func problem(_ header: Header, _ checked: CheckedMessage) -> [Violation] {
    guard checked.message.isWhole, let problem = checked.words.problem else { return [] }
    return [Violation(Clause.of(header.command), problem.description)]
  }

  private func defect(_ message: TracedMessage) -> Violation {
    guard message.defect == .outOfStep else {
      return Violation(Clause.header, "the stream ends inside of a message")
    }
    let size = (try? Header(decoding: message.bytes.span)).map { ": message size \($0.size)" } ?? ""
    return Violation(
      Clause.header,
      "the stream is out of step\(size); it is forwarded, but not understood any more")
  }

  private mutating func command(_ header: Header, _ checked: CheckedMessage) -> [Violation] {
    var findings: [Violation] = []
    let message = checked.message
    if header.wantsReply {
      let request = OpenRequest(checked, header)
      if open[message.stream, default: OpenRequests()].add(request) {
        findings.append(
          Violation(
            Clause.header, "too many commands have no reply; the oldest are forgotten"))
      }
    }
    findings += negotiation.command(header, checked)
    findings += DescriptorCheck.command(header, message)
    guard checked.words.problem == nil else { return findings + problem(header, checked) }
    return findings + meaning(of: header, message)
  }

  private mutating func reply(
    _ header: Header, _ checked: inout CheckedMessage
  ) -> [Violation] {
    let message = checked.message
    guard let request = open[message.stream.opposite]?.take(for: header) else {
      return hasGaps ? [] : [Violation(Clause.header, "reply to no command that waits for one")]
    }
    checked.latency =
      message.instant >= request.instant ? message.instant - request.instant : nil
    checked.region = checked.region ?? request.region
    guard header.command == request.header.command else {
      return [
        Violation(
          Clause.header, "reply of \(header.command) to a command \(request.header.command)")
      ]
    }
    var findings = negotiation.reply(header, checked) + problem(header, checked)
    conclude(request, header, message)
    guard !header.flags.contains(.error) else { return findings }
    findings += DescriptorCheck.reply(header, message)
    if checked.words.problem == nil {
      findings += ReplyComparison.violations(request, message) + learn(header, message)
    }
    return findings
  }
}
