import CLinux
import Foundation
import Glibc
import LinuxPrimitives
import TestSupport
import Testing

@testable import VFIOUserProgram

/// A service with a few methods, and a caller of it.
private final class Conversation {
  let caller: ControlConnection
  private let ended = Monitor(false)

  init(isClient: Bool = false) throws {
    var ends: [Int32] = [-1, -1]
    #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    caller = ControlConnection(OwnedDescriptor(adopting: ends[0]))
    let server = ControlConnection(OwnedDescriptor(adopting: ends[1]))
    let methods = [
      ControlMethod("echo", "Returns its parameter.", parameters: ["text"]) { call in
        .text(try call.parameters(Echo.self).text)
      },
      ControlMethod("change", "Changes something.", isChange: true) { _ in .flag(true) },
      ControlMethod("repeat", "Has a long answer.") { _ in
        .text(String(repeating: "a", count: 100_000))
      },
      ControlMethod("fail", "Fails.") { _ in throw CommandError("no: cause and remedy") },
    ]
    let service = ControlService(methods: methods) { _ in isClient }
    try DetachedThread.start("service") { [ended] in
      service.serve(server)
      ended.update { $0 = true }
    }
  }

  private struct Echo: Codable { let text: String }

  var hasEnded: Bool { eventually { ended.withLock { $0 } } }

  func send(_ text: String) {
    let bytes = Array(text.utf8)
    // Sound: the count is that of the array.
    #expect(
      unsafe Glibc.send(caller.number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
  }

  func receive() throws -> JSONValue {
    guard
      case .complete(let line) = caller.receiveLine(
        atMost: 16 << 20, idle: .seconds(10), patience: .seconds(10))
    else { throw HarnessError("no answer") }
    return try JSONDecoder().decode(JSONValue.self, from: Data(line))
  }

  func ask(_ text: String) throws -> JSONValue {
    send(text + "\n")
    return try receive()
  }
}

@Suite(.timeLimit(.minutes(1))) struct `The control service` {
  @Test func `A request gets an answer with its id, whatever that is`() throws {
    let one = try Conversation()
    for id in ["7", "\"seven\"", "null"] {
      let answer = try one.ask(
        #"{"jsonrpc":"2.0","id":\#(id),"method":"echo","params":{"text":"hello"}}"#)
      #expect(answer["result"] == .text("hello"))
      #expect(answer["id"]?.description == id)
      #expect(answer["jsonrpc"] == .text("2.0"))
    }
  }

  @Test(arguments: [
    ("x", -32700, "JSON"), ("{}", -32600, "JSON-RPC"), ("7", -32600, "JSON-RPC"),
    (#"{"jsonrpc":"1.0","id":1,"method":"echo"}"#, -32600, "JSON-RPC"),
    (#"{"jsonrpc":"2.0","id":1}"#, -32600, "JSON-RPC"),
    (#"{"jsonrpc":"2.0","id":1,"method":"ehco"}"#, -32601, "echo, change, repeat, fail"),
    (#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#, -32602, "'text'"),
    (#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}"#, -32602, "names"),
    (#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"txet":"a"}}"#, -32602, "'txet'"),
    (#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":1}}"#, -32602, "'text'"),
    (#"{"jsonrpc":"2.0","id":1,"method":"fail"}"#, -32000, "cause and remedy"),
    ("[]", -32600, "batch"),
  ])
  func `A bad request gets an error that says why, and the next one is served`(
    request: String, code: Int64, words: String
  ) throws {
    let one = try Conversation()
    let error = try one.ask(request)["error"]
    #expect(error?["code"] == .integer(code))
    #expect(error?["message"]?.description.contains(words) == true, "\(error as Any)")
    let next = try one.ask(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a"}}"#)
    #expect(next["result"] == .text("a"))
  }

  @Test func `A notification gets no answer, and a batch gets one list of answers`() throws {
    let one = try Conversation()
    one.send(#"{"jsonrpc":"2.0","method":"echo","params":{"text":"unheard"}}"# + "\n")
    let answer = try one.ask(
      #"[{"jsonrpc":"2.0","id":1,"method":"fail"},{"jsonrpc":"2.0","method":"fail"},{"jsonrpc":"2.0","id":2,"method":"echo","params":{"text":"b"}}]"#
    )
    guard case .list(let answers) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(answers.map { $0["id"] } == [.integer(1), .integer(2)])
    #expect(answers.last?["result"] == .text("b"))
  }

  @Test func `A request that is nested deeply is refused, and the next one is served`() throws {
    let one = try Conversation()
    let deep = String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
    #expect(try one.ask(deep)["error"]?["code"] == .integer(-32700))
    let next = try one.ask(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a"}}"#)
    #expect(next["result"] == .text("a"))
  }

  @Test func `The requests of a batch whose answers are long are not all done`() throws {
    let one = try Conversation()
    let request = #"{"jsonrpc":"2.0","id":1,"method":"repeat"}"#
    let answer = try one.ask(
      "[" + [String](repeating: request, count: 64).joined(separator: ",") + "]")
    guard case .list(let answers) = answer else {
      Issue.record("\(answer)")
      return
    }
    let done = answers.count { $0["result"] != nil }
    #expect(answers.count == 64)
    #expect(1...11 ~= done, "\(done)")
    #expect(answers.last?["error"]?["message"]?.description.contains("not done") == true)
  }

  @Test func `Requests that arrive in pieces or together are served in order`() throws {
    let one = try Conversation()
    let request = #"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a"}}"# + "\n"
    for byte in request { one.send(String(byte)) }
    #expect(try one.receive()["result"] == .text("a"))
    one.send(request + request.replacing("\"a\"", with: "\"b\""))
    #expect(try one.receive()["result"] == .text("a"))
    #expect(try one.receive()["result"] == .text("b"))
  }

  @Test(arguments: [0, 1])
  func `A request may have 64 KiB, and no more`(surplus: Int) throws {
    let one = try Conversation()
    let frame = #"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":""}}"#
    let text = String(repeating: "a", count: (64 << 10) - frame.utf8.count + surplus)
    let answer = try one.ask(frame.replacing("\"\"", with: "\"\(text)\""))
    #expect((answer["result"] == .text(text)) == (surplus == 0))
    if surplus > 0 { #expect(one.hasEnded) }
  }

  @Test func `A client of a device may ask, but change nothing`() throws {
    let one = try Conversation(isClient: true)
    let refused = try one.ask(#"{"jsonrpc":"2.0","id":1,"method":"change"}"#)
    #expect(refused["error"]?["message"]?.description.contains("client") == true)
    let answer = try one.ask(#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a"}}"#)
    #expect(answer["result"] == .text("a"))
    let other = try Conversation()
    #expect(try other.ask(#"{"jsonrpc":"2.0","id":1,"method":"change"}"#)["result"] == .flag(true))
  }
}
