internal import CLinux
internal import Foundation
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// The caller's side of the control socket of a process that serves devices.
package struct ControlClient: Sendable {
  /// The process.
  package let process: Int32
  private let connection: ControlConnection

  /// Connects to a process.
  ///
  /// - Throws: ``CommandError`` if it has no control socket, or another process has its name.
  package init(process: Int32) throws {
    try self.init(process, for: .seconds(2))
  }

  /// Connects to a process that claims to serve something: who has the name may be anybody.
  private init?(of process: Int32, trusting users: [UInt32]) {
    guard let client = try? ControlClient(process, for: .zero),
      let user = client.connection.peer?.user, users.contains(user)
    else { return nil }
    self = client
  }

  private init(_ process: Int32, for patience: Duration) throws {
    let deadline = Deadline.after(patience)
    var number: Int32
    repeat {
      // Sound: the string is lent for the call.
      number = unsafe clinux_connect_abstract(ControlSocket.name(of: process))
      // It has no room for more callers.
      if number == -EAGAIN { usleep(10_000) }
    } while number == -EAGAIN && !deadline.hasPassed
    guard number >= 0 else {
      throw CommandError(
        "process \(process) cannot be asked (\(Errno(rawValue: -number))). Is it one that serves devices, in a version with upgrades, and not in another network namespace? `kill -USR2 \(process)` replaces its program too, but does not say what has become of it."
      )
    }
    connection = ControlConnection(OwnedDescriptor(adopting: number))
    self.process = process
    guard connection.peer?.process == process else {
      throw CommandError(
        "the control socket of process \(process) belongs to process \(connection.peer?.process ?? 0)"
      )
    }
  }

  /// Sends a request and waits for the answer.
  ///
  /// - Throws: ``CommandError`` with the failure that the process has answered, or if it does not answer in time.
  package func call(_ request: ControlRequest, for patience: Duration) throws
    -> ControlAnswer.Result
  {
    connection.send(request)
    let deadline = Deadline.after(patience)
    guard let line = connection.receiveLine(atMost: 1 << 20, for: patience) else {
      throw CommandError(
        deadline.hasPassed
          ? "process \(process) has not answered within \(patience)"
          : "process \(process) has ended without an answer, or does not serve any more; its log may say why"
      )
    }
    guard let answer = try? JSONDecoder().decode(ControlAnswer.self, from: Data(line)) else {
      throw CommandError("process \(process) answers something that is not known here")
    }
    if let failure = answer.error { throw CommandError(failure.message) }
    return answer.result ?? .init()
  }

  /// The processes of this machine that have a control socket.
  private static func processes() -> [Int32] {
    let prefix = "@" + ControlSocket.name(of: 0).dropLast()
    let names = sockets.split(separator: "\n").compactMap { $0.split(separator: " ").last }
    let numbers = names.filter { $0.hasPrefix(prefix) }.compactMap {
      Int32($0.dropFirst(prefix.count))
    }
    return Set(numbers).sorted()
  }

  /// The kernel's list of UNIX sockets, whose names may be anything.
  private static var sockets: String {
    let file = FileHandle(forReadingAtPath: "/proc/net/unix")
    var bytes = Data()
    // The kernel gives a page at a time; the newest sockets are on the last one.
    while let more = try? file?.read(upToCount: 1 << 16), !more.isEmpty { bytes += more }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The process that serves the device on a socket; nil if no process says so whom root, the caller or the owner of
  /// the socket runs.
  package static func process(serving socket: String) -> Int32? {
    guard let wanted = identity(of: socket) else { return nil }
    let users = [0, geteuid(), wanted.owner]
    return processes().first { process in
      guard let client = ControlClient(of: process, trusting: users),
        let devices = try? client.call(ControlRequest("devices"), for: .seconds(3)).devices
      else { return false }
      return devices.contains { identity(of: $0) == wanted }
    }
  }

  private struct Identity: Equatable {
    let device: UInt64
    let inode: UInt64
    let owner: UInt32
  }

  private static func identity(of path: String) -> Identity? {
    var info = stat()
    // Sound: string and structure are lent for the call.
    guard unsafe stat(path, &info) == 0 else { return nil }
    return Identity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino), owner: info.st_uid)
  }
}
