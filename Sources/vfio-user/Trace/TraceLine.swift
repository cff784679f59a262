import VFIOUserInspection
import VFIOUserProtocol
import VFIOUserProgram

/// A message on a line, for eyes.
struct TraceLine {
  let isColoured: Bool

  private enum Colour: String {
    case faint = "2"
    case red = "31"
    case yellow = "33"
    case cyan = "36"
  }

  /// The line of a message, and one for each violation.
  ///
  /// - Parameter start: the time of the first message.
  func lines(_ checked: CheckedMessage, start: UInt64) -> [String] {
    let message = checked.message
    let time = message.instant >= start ? message.instant - start : 0
    let place = "\(message.stream.connection)\(message.stream.isTwin ? "t" : " ")"
    let arrow = message.stream.direction == .toServer ? "->" : "<-"
    var line = "\(paint(Self.seconds(time), .faint)) \(place) \(arrow) "
    if let header = checked.header {
      line += content(header, checked)
    } else {
      line += paint("\(message.bytes.count) bytes that are no message", .red)
    }
    line += descriptors(message.descriptors)
    if let latency = checked.latency { line += paint("  (\(timeText(latency)))", .faint) }
    return [line] + checked.violations.map { "               \(paint("!! \($0)", .yellow))" }
  }

  private func content(_ header: Header, _ checked: CheckedMessage) -> String {
    var words = ["#\(header.id)"]
    let name = header.command.description
    words.append(checked.isError ? paint(name, .red) : paint(name, .cyan))
    if checked.isReply { words.append("reply") }
    if !header.wantsReply { words.append("no-reply") }
    var text = words.joined(separator: " ")
    if !checked.words.fields.isEmpty { text += "  \(printable(checked.words.fields.text))" }
    return text
  }

  private func descriptors(_ notes: [DescriptorNote]) -> String {
    guard !notes.isEmpty else { return "" }
    var groups: [(text: String, count: Int)] = []
    for note in notes {
      let text = printable(note.text)
      if groups.last?.text == text {
        groups[groups.count - 1].count += 1
      } else {
        groups.append((text, 1))
      }
    }
    let texts = groups.map { $0.count > 1 ? "\($0.text) x \($0.count)" : $0.text }
    return "  fds: \(texts.joined(separator: ", "))"
  }

  /// The line of something that has happened to a connection; nil for what lines show already.
  func line(_ event: ProxyEvent) -> String? {
    switch event {
    case .opened(let number, let process):
      "connection \(number): a client\(process.map { " (process \($0))" } ?? "")"
    case .refused(let number, let reason):
      "connection \(number): the server is not there: \(reason)"
    case .twin(let number): "connection \(number): a twin socket for commands of the server"
    case .failed(let number, let reason): "connection \(number): \(reason)"
    case .closed(let number, let side):
      "connection \(number): closed\(side.map { $0 == .toServer ? " by the server" : " by the client" } ?? "")"
    case .unanswered(let number, let commands):
      "connection \(number): no reply to \(commands.prefix(Self.namedCommands).joined(separator: ", "))\(commands.count > Self.namedCommands ? " and \(commands.count - Self.namedCommands) more" : "")"
    case .stopped(let reason): "no more clients: \(reason)"
    case .ended: nil
    }
  }

  /// How many commands without a reply are named.
  private static let namedCommands = 5

  private func paint(_ text: String, _ colour: Colour) -> String {
    isColoured ? "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m" : text
  }

  private static func seconds(_ nanoseconds: UInt64) -> String {
    let micros = nanoseconds / 1000
    let fraction = String(micros % 1_000_000)
    let whole = String(micros / 1_000_000)
    let text = "\(whole).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    return String(repeating: " ", count: max(0, 11 - text.count)) + text
  }
}

extension DescriptorNote {
  /// For eyes: `memfd ram 512 MiB`.
  var text: String {
    var words = [kind]
    if let name { words.append(name) }
    if let size { words.append(byteCount(size)) }
    return words.joined(separator: " ")
  }
}

/// A peer's text without control characters, which a terminal would obey.
func printable(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0.value < 0x20 || 0x7F..<0xA0 ~= $0.value }) else {
    return text
  }
  return text.unicodeScalars.map { scalar in
    scalar.value < 0x20 || 0x7F..<0xA0 ~= scalar.value
      ? "\\x\(hex(scalar.value, 2))" : String(Character(scalar))
  }.joined()
}
