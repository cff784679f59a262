import CLinux
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@Suite struct `Listening socket` {
  let path = FilePath("/tmp/vfio-user-listen-\(UInt64.random(in: .min ... .max)).sock")

  @Test func `replaces a socket that a dead process left`() throws {
    let orphan = unsafe clinux_listen(path.string, 0o600, 1)
    #expect(orphan >= 0)
    _ = clinux_close(orphan)
    let listener = try ListeningSocket(path: path)
    _ = try MessageSocket(connectingTo: path)
    listener.remove()
  }

  @Test func `leaves a socket alone on which somebody listens`() throws {
    let first = try ListeningSocket(path: path)
    #expect(throws: ListeningSocket.Failure.inUse(path)) { try ListeningSocket(path: path) }
    _ = try MessageSocket(connectingTo: path)
    first.remove()
  }

  @Test func `leaves alone what is not a socket`() throws {
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create], permissions: .ownerReadWrite)
    defer { _ = unsafe clinux_unlink(path.string) }
    try file.close()
    #expect(throws: ListeningSocket.Failure.notASocket(path)) { try ListeningSocket(path: path) }
  }

  @Test func `names the folder that is missing and the path that is too long`() {
    let nowhere = FilePath("/nonexistent/folder/socket")
    #expect(
      throws: ListeningSocket.Failure.system(
        SystemFailure(call: "bind", code: .noSuchFileOrDirectory), nowhere)
    ) { try ListeningSocket(path: nowhere) }
    let long = FilePath("/tmp/" + String(repeating: "x", count: 103))
    #expect(throws: ListeningSocket.Failure.pathTooLong(long, limit: 107)) {
      try ListeningSocket(path: long)
    }
  }

  @Test func `removes its file when it goes, but not that of a successor`() throws {
    do {
      let listener = try ListeningSocket(path: path)
      withExtendedLifetime(listener) {}
    }
    #expect(unsafe clinux_connect(path.string) == -Errno.noSuchFileOrDirectory.rawValue)
    let first = try ListeningSocket(path: path)
    _ = unsafe clinux_unlink(path.string)
    let second = try ListeningSocket(path: path)
    first.remove()
    _ = try MessageSocket(connectingTo: path)
    second.remove()
  }

  @Test func `takes an inherited listening socket and nothing else`() throws {
    let number = unsafe clinux_listen(path.string, 0o600, 1)
    let listener = try ListeningSocket(adopting: OwnedDescriptor(adopting: number))
    #expect(listener.path == nil)
    _ = unsafe clinux_unlink(path.string)
    let event = clinux_eventfd()
    #expect(throws: ListeningSocket.Failure.notListening(event)) {
      try ListeningSocket(adopting: OwnedDescriptor(adopting: event))
    }
  }

  @Test(arguments: [0o600, 0o660, 0o666] as [CModeT])
  func `has the permissions that were asked for`(mode: CModeT) throws {
    let listener = try ListeningSocket(path: path, mode: FilePermissions(rawValue: mode))
    #expect(try Stat(path).permissions.rawValue == mode)
    listener.remove()
  }
}
