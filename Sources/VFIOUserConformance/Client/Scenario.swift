internal import VFIOUserProtocol

/// What the scripted server does, under a name: checks of the same scenario share one run of the client.
struct Scenario: Sendable {
  let name: String
  var behaviour: Behaviour

  init(_ name: String, _ change: (inout Behaviour) -> Void = { _ in }) {
    self.name = name
    behaviour = Behaviour()
    change(&behaviour)
  }

  /// A scenario in which the answers to a command are changed.
  init(
    _ name: String, _ command: Command,
    _ change: @escaping @Sendable (_ request: Message, _ answer: inout Answer) -> Void
  ) {
    self.init(name) { behaviour in
      behaviour.change = { request, answer in
        guard request.header.command == command else { return }
        change(request, &answer)
      }
    }
  }

  static let plain = Scenario("plain") { $0.signals = true }

  /// A command is refused each time.
  static func refusing(_ command: Command, _ errno: Int32 = 22) -> Scenario {
    Scenario("\(command) is refused with \(errno)", command) { _, answer in
      answer = .refusal(errno)
    }
  }

  /// The server goes away instead of answering a command, or behind some bytes of the answer.
  static func vanishing(at command: Command, behind bytes: Int) -> Scenario {
    Scenario("vanishes \(bytes) bytes into \(command)", command) { _, answer in
      answer.cut = bytes
    }
  }

  /// The payload of an answer is cut short, in a message that is otherwise right.
  static func short(_ command: Command, _ count: Int) -> Scenario {
    Scenario("\(command) is answered with \(count) bytes", command) { _, answer in
      answer.payload = Array(answer.payload.prefix(count))
    }
  }

  /// VERSION is answered with another text.
  static func version(_ name: String, _ json: String?, minor: UInt16 = 1) -> Scenario {
    Scenario(name, .version) { request, answer in
      let proposed: UInt16 = request.payload.number(at: 2) ?? 0
      answer.payload = PlayedDevice.version(json, minor: min(minor, proposed))
    }
  }

  /// What the server asks of the client, with the client's memory.
  static let asking = Scenario("asks for memory") { behaviour in
    behaviour.questions = { window in
      let data = [UInt8]("vfio-user check".utf8)
      let place = window.address + 0x1000
      return [
        .read("inside", place, 16), .read("before", place, UInt64(data.count)),
        .write("write", place, data), .read("after", place, UInt64(data.count)),
        .read("last", window.end - 1, 1), .read("outside", .max - 0xFFFF, 16),
        .write("outside-write", .max - 0xFFFF, [0, 0, 0, 0]),
        .read("wrapping", .max - 3, 8), .read("huge", place, .max),
        .write("short", place, [1, 2], count: 64),
        Question(name: "unknown", command: Command(rawValue: 0x70), payload: []),
        .read("still", place, 16),
      ]
    }
  }
}
