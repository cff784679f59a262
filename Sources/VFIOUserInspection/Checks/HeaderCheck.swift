import VFIOUserProtocol

/// What a header alone says (specification, "Header" and "Commands").
enum HeaderCheck {
  static func violations(_ header: Header, _ message: TracedMessage) -> [Violation] {
    let flags = header.flags
    var findings: [Violation] = []
    func find(
      _ isWrong: Bool, _ text: @autoclosure () -> String, in clause: String = Clause.header
    ) {
      if isWrong { findings.append(Violation(clause, text())) }
    }
    find(flags.type > 1, "type \(flags.type) is neither command nor reply")
    find(
      flags.reserved != 0, "undefined flags \(hexadecimal(UInt64(flags.reserved)))")
    if flags.type == 0 {
      find(flags.contains(.error), "the Error bit in a command")
      find(header.error != 0, "error number \(header.error) in a command, where it is reserved")
      find(
        header.command.sender.map { $0 != message.stream.direction.sender } ?? false,
        "\(header.command) is not a command of the \(message.stream.direction.sender)",
        in: Clause.commands)
      find(
        header.command.sender == nil, "not a command of the specification", in: Clause.commands)
    } else {
      find(flags.contains(.noReply), "No_reply in a reply")
      find(
        !flags.contains(.error) && header.error != 0,
        "error number \(header.error) without the Error bit")
      find(
        flags.contains(.error) && message.wireSize > Header.wireSize,
        "an error reply of \(message.wireSize) bytes, must be the header only")
      find(flags.contains(.error) && header.error > 4095, "\(header.error) is no UNIX errno")
    }
    return findings
  }
}
