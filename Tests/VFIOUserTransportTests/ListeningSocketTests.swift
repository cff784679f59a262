import CLinux
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@Suite struct `Listening socket` {
  let path = FilePath("/tmp/vfio-user-listen-\(UInt64.random(in: .min ... .max)).sock")

  @Test func `A listening socket replaces the socket file of a dead process`() throws {
    let orphan = unsafe clinux_listen(path.string, 0o600, 1)
    #expect(orphan >= 0)
    _ = clinux_close(orphan)
    let listener = try ListeningSocket(path: path)
    _ = try MessageSocket(connectingTo: path)
    listener.remove()
  }

  @Test func `A listening socket does not replace a socket on which another one listens`() throws {
    let first = try ListeningSocket(path: path)
    #expect(throws: ListeningSocket.ListenError.inUse(path)) { try ListeningSocket(path: path) }
    _ = try MessageSocket(connectingTo: path)
    first.remove()
  }

  @Test func `A listening socket does not replace a listening one whose backlog is full`() throws {
    let busy = try FullListener(backlog: 0)
    #expect(throws: ListeningSocket.ListenError.inUse(busy.path)) {
      try ListeningSocket(path: busy.path)
    }
    #expect(throws: SystemCallError(call: "connect", code: .timedOut)) {
      try MessageSocket(connectingTo: busy.path, timeout: .milliseconds(5))
    }
  }

  @Test func `A listening socket does not replace a file that is not a socket`() throws {
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create], permissions: .ownerReadWrite)
    defer { _ = unsafe clinux_unlink(path.string) }
    try file.close()
    #expect(throws: ListeningSocket.ListenError.notASocket(path)) {
      try ListeningSocket(path: path)
    }
  }

  @Test func `A listening socket reports a missing directory and a path that is too long`() {
    let nowhere = FilePath("/nonexistent/folder/socket")
    #expect(
      throws: ListeningSocket.ListenError.system(
        SystemCallError(call: "bind", code: .noSuchFileOrDirectory), nowhere)
    ) { try ListeningSocket(path: nowhere) }
    let long = FilePath("/tmp/" + String(repeating: "x", count: 103))
    #expect(throws: ListeningSocket.ListenError.pathTooLong(long, limit: 107)) {
      try ListeningSocket(path: long)
    }
  }

  @Test(arguments: [
    ("/nonexistent/folder/socket", "there is no folder /nonexistent/folder. Make it first."),
    ("", "cannot listen: the path of the socket is empty."),
  ])
  func `The error of a listening socket says what is missing`(_ path: String, _ says: String) {
    let error = #expect(throws: ListeningSocket.ListenError.self) {
      try ListeningSocket(path: FilePath(path))
    }
    #expect(error?.description.hasSuffix(says) == true)
  }

  @Test func `A listening socket removes its own file but not that of a successor`() throws {
    do {
      let listener = try ListeningSocket(path: path)
      withExtendedLifetime(listener) {}
    }
    #expect(unsafe clinux_connect(path.string, 0) == -Errno.noSuchFileOrDirectory.rawValue)
    let first = try ListeningSocket(path: path)
    _ = unsafe clinux_unlink(path.string)
    let second = try ListeningSocket(path: path)
    first.remove()
    _ = try MessageSocket(connectingTo: path)
    second.remove()
  }

  @Test func `A listening socket adopts an inherited listening descriptor and no other`() throws {
    let number = unsafe clinux_listen(path.string, 0o600, 1)
    let listener = try ListeningSocket(adopting: OwnedDescriptor(adopting: number))
    #expect(listener.path == nil)
    _ = unsafe clinux_unlink(path.string)
    let event = clinux_eventfd()
    #expect(throws: ListeningSocket.ListenError.notListening(event)) {
      try ListeningSocket(adopting: OwnedDescriptor(adopting: event))
    }
  }

  @Test(arguments: [0o600, 0o660, 0o666] as [CModeT])
  func `A listening socket has the requested permissions`(mode: CModeT) throws {
    let listener = try ListeningSocket(path: path, mode: FilePermissions(rawValue: mode))
    #expect(try Stat(path).permissions.rawValue == mode)
    listener.remove()
  }
}

@Suite struct `Sockets passed by a supervisor` {
  @Test(
    arguments: [
      [:], ["LISTEN_FDS": "1"], ["LISTEN_FDS": "1", "LISTEN_PID": "1"],
      ["LISTEN_FDS": "0", "LISTEN_PID": "self"], ["LISTEN_FDS": "-1", "LISTEN_PID": "self"],
      ["LISTEN_FDS": "99999999999", "LISTEN_PID": "self"],
      ["LISTEN_FDS": "x", "LISTEN_PID": "self"],
    ] as [[String: String]])
  func `LISTEN_FDS of another process or with an invalid count passes no sockets`(
    variables: [String: String]
  ) throws {
    let process = String(clinux_process_id())
    let sockets = try ListeningSocket.activated {
      variables[$0] == "self" ? process : variables[$0]
    }
    #expect(sockets.isEmpty)
  }

  @Test func `Sockets passed by a supervisor are adopted if they listen and refused otherwise`()
    throws
  {
    let environment = ["LISTEN_FDS": "1", "LISTEN_PID": String(clinux_process_id())]
    let path = FilePath("/tmp/vfio-user-handed-\(UInt64.random(in: .min ... .max)).sock")
    let listener = try ListeningSocket(path: path)
    let first = try listener.descriptor.duplicate().release()
    let sockets = try ListeningSocket.activated(from: first) { environment[$0] }
    #expect(sockets.count == 1)
    #expect(sockets[0].name == nil)
    let client = try MessageSocket(connectingTo: path)
    let accepted = try MessageSocket(adopting: sockets[0].accept())
    #expect(!client.peerHasHungUp)
    let other = try accepted.descriptor.duplicate().release()
    #expect(throws: ListeningSocket.ListenError.notListening(other)) {
      try ListeningSocket.activated(from: other) { environment[$0] }
    }
  }

  @Test(
    arguments: [
      ("disk", ["disk", nil]), ("disk:port", ["disk", "port"]), (":port", [nil, "port"]),
      ("a:b:c", ["a", "b"]), ("", [nil, nil]),
    ] as [(String, [String?])])
  func `Sockets passed by a supervisor have the names of LISTEN_FDNAMES`(
    names: String, expected: [String?]
  ) throws {
    let path = FilePath("/tmp/vfio-user-handed-\(UInt64.random(in: .min ... .max)).sock")
    let listener = try ListeningSocket(path: path)
    // Two numbers that follow each other, as a supervisor hands them over.
    let first: Int32 = 700
    for number in first..<first + 2 {
      let copy = dup2(listener.descriptor.number, number)
      #expect(copy == number)
    }
    let environment = [
      "LISTEN_FDS": "2", "LISTEN_PID": String(clinux_process_id()), "LISTEN_FDNAMES": names,
    ]
    let sockets = try ListeningSocket.activated(from: first) { environment[$0] }
    #expect(sockets.map(\.name) == expected)
  }
}
