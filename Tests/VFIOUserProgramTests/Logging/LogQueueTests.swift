import CLinux
import Glibc
import Testing
import VFIOUserTransport

@testable import VFIOUserProgram

/// A pipe of which nobody has to read.
private final class Pipe: Sendable {
  let reading: Int32
  let writing: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    _ = unsafe pipe(&ends)
    (reading, writing) = (ends[0], ends[1])
    _ = clinux_set_nonblocking(reading, 1)
  }

  func read() -> String {
    var text: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe Glibc.read(reading, &bytes, bytes.count)
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += bytes[..<count]
    }
  }

  func readAll(until part: String) -> String {
    var text = ""
    let end = ContinuousClock.now + .seconds(10)
    while !text.contains(part), ContinuousClock.now < end {
      text += read()
      usleep(1000)
    }
    return text
  }
}

@Suite struct `The program's log` {
  @Test func `The program's log drops lines instead of blocking if nobody reads standard error`() {
    let pipe = Pipe()
    let queue = LogQueue(pipe.writing, capacity: 4096)
    let line = String(repeating: "x", count: 1000) + "\n"
    // The pipe itself holds 64 KiB.
    let elapsed = ContinuousClock().measure { for _ in 0..<200 { queue.write(line) } }
    #expect(elapsed < .seconds(5))
    #expect(ContinuousClock().measure { queue.flush() } < .seconds(2))
    let text = pipe.readAll(until: "lines were dropped")
    #expect(text.contains("lines were dropped: nobody read them in time"))
  }

  @Test func `The program's log writes every line in order if standard error is read`() {
    let pipe = Pipe()
    let queue = LogQueue(pipe.writing)
    for number in 0..<100 { queue.write("line \(number)\n") }
    let text = pipe.readAll(until: "line 99\n")
    #expect(text == (0..<100).map { "line \($0)\n" }.joined())
  }

  @Test func `The program's log escapes control characters in the text of a peer`() {
    let bytes = LogQueue.printable("device \u{1B}[2Jname\nforged line\u{7F}\n")
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text == #"device \x1b[2Jname\x0aforged line\x7f"# + "\n")
  }
}
