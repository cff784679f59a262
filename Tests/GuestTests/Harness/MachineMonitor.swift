import Foundation
import TestSupport
import VFIOUserTransport

/// QEMU's control channel: QMP, the machine protocol, one JSON object a line.
///
/// It is opened with the first command.
final class MachineMonitor {
  private let path: String
  private var opened: Console?
  /// Events that nobody has asked for yet.
  private var events: [[String: Any]] = []

  init(_ path: String) { self.path = path }

  /// Gives a command and waits for its answer.
  ///
  /// - Parameter arguments: what JSON can say.
  /// - Throws: ``HarnessError`` when QEMU refuses.
  @discardableResult
  func execute(_ command: String, _ arguments: [String: Any] = [:]) throws -> Any {
    let console = try open()
    return try Self.execute(command, arguments, on: console) { events.append($0) }
  }

  /// Waits for an event.
  ///
  /// - Parameter isTheOne: looks at its data.
  func awaitEvent(
    _ name: String, within timeout: Duration = .seconds(60), _ isTheOne: ([String: Any]) -> Bool
  ) throws {
    let console = try open()
    let deadline = Deadline.after(timeout)
    while true {
      while !events.isEmpty {
        let event = events.removeFirst()
        let data = event["data"] as? [String: Any] ?? [:]
        if event["event"] as? String == name, isTheOne(data) { return }
      }
      events.append(try Self.next(console, before: deadline, "event \(name)"))
    }
  }

  /// Plugs a device in; see ``Machine/plug(_:id:_:)``.
  func plug(_ device: String) throws {
    let properties = try JSONSerialization.jsonObject(with: Data(device.utf8)) as? [String: Any]
    try execute("device_add", properties ?? [:])
  }

  private func open() throws -> Console {
    if let opened { return opened }
    let console = Console(try ByteChannel(connectingTo: path))
    _ = try Self.next(console, before: .after(.seconds(30)), "greeting")
    try Self.execute("qmp_capabilities", [:], on: console) { _ in }
    opened = console
    return console
  }

  @discardableResult
  private static func execute(
    _ command: String, _ arguments: [String: Any], on console: Console,
    _ keep: ([String: Any]) -> Void
  ) throws -> Any {
    let line = try JSONSerialization.data(
      withJSONObject: ["execute": command, "arguments": arguments])
    try console.send(String(decoding: line, as: UTF8.self) + "\n")
    let deadline = Deadline.after(.seconds(30))
    while true {
      let answer = try next(console, before: deadline, "answer to \(command)")
      if let value = answer["return"] { return value }
      if let error = answer["error"] { throw HarnessError("QEMU refuses \(line): \(error)") }
      keep(answer)
    }
  }

  private static func next(
    _ console: Console, before deadline: Deadline, _ awaited: String
  ) throws -> [String: Any] {
    guard let line = try console.nextLine(before: deadline),
      let answer = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    else { throw HarnessError("QEMU's control channel has no \(awaited)") }
    return answer
  }
}
