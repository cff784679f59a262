import CLinux
import Foundation
import Glibc
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing

@testable import VFIOUserProgram

@Suite struct `The broker` {
  @Test func `does with its files what it may, and with no others anything`() async {
    await #expect(processExitsWith: .success) {
      let scratch = try ScratchFolder()
      func write(_ name: String) throws {
        try Data(name.utf8).write(to: URL(filePath: scratch.path(name)))
      }
      for name in ["own", "replaced", "made", "settled", "opened", "stranger"] { try write(name) }
      #expect(unsafe mkfifo(scratch.path("fifo"), 0o600) == 0)
      let tasks: [(String, Broker.File.Task)] = [
        ("own", .remove), ("replaced", .remove), ("made", .discard), ("settled", .discard),
        ("opened", .open), ("fifo", .open),
      ]
      let broker = try Broker(
        tasks.map { Broker.File(path: scratch.path($0.0), task: $0.1) })
      func remove(_ name: String) -> Int32 { unsafe clinux_broker_remove(scratch.path(name)) }

      // It has looked at its files when it answers.
      #expect(remove("made") == 0 && remove("made") == -ENOENT)
      for name in ["replaced", "opened"] {
        try write("new")
        #expect(unsafe rename(scratch.path("new"), scratch.path(name)) == 0)
      }
      #expect(remove("replaced") == -ENOENT && remove("stranger") == -ENOENT)
      #expect(remove("opened") == -ENOENT)
      guard let file = try Broker.open(scratch.path("opened")) else {
        throw HarnessError("the broker does not know its file")
      }
      let text = try file.text(atMost: 100)
      #expect(text == "new")
      do {
        _ = try Broker.open(scratch.path("fifo"))
        Issue.record("a FIFO was opened")
      } catch let error as SystemCallError {
        #expect(error.code == .permissionDenied)
      }
      let knowsStranger = try Broker.open(scratch.path("stranger")) != nil
      #expect(!knowsStranger)
      clinux_broker_settle()
      #expect(remove("settled") == -ENOENT && remove("own") == 0)
      let left = try FileManager.default.contentsOfDirectory(atPath: scratch.url.path).sorted()
      #expect(left == ["fifo", "opened", "replaced", "settled", "stranger"])

      // A process without a broker gets an answer as well.
      _ = clinux_close(broker.record.connection)
      #expect(remove("replaced") < 0)
    }
  }

  @Test func `is asked nothing after a question that it has not answered in time`() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [0, 0]
      // Sound: the arrays, the list and the bytes are lent for the calls; the list stays.
      #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
      let files = UnsafeMutablePointer<clinux_broker_file>.allocate(capacity: 1)
      unsafe files.initialize(to: clinux_broker_file(path: strdup("/file"), task: 0))
      unsafe clinux_broker_use(ends[0], files, 1)
      var patience = timeval(tv_sec: 0, tv_usec: 20_000)
      let size = socklen_t(MemoryLayout<timeval>.size)
      #expect(unsafe setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, size) == 0)
      #expect(unsafe clinux_broker_remove("/file") == -EAGAIN)
      // It comes later, and would be the answer to the next question.
      var answer: Int32 = 0
      #expect(unsafe send(ends[1], &answer, 4, Int32(MSG_NOSIGNAL)) == -1)
      #expect(unsafe clinux_broker_remove("/file") == -ENOENT)
    }
  }
}
