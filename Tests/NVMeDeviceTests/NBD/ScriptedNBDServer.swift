import Glibc
import Synchronization
import TestSupport
import VFIOUserTransport

@testable import NVMeDevice

/// A server that keeps to the NBD protocol as far as a test wants, on threads of this process.
final class ScriptedNBDServer: @unchecked Sendable {
  // Sound: what is not protected is not changed.

  /// What it does otherwise than a good server.
  struct Script: Sendable {
    /// What it says of its export.
    var size: UInt64 = 16 << 20
    /// Flags of the export (NBD protocol, "Transmission flags"): flush and FUA.
    var flags: UInt16 = 0b1101
    /// Minimum, preferred and maximum block size.
    var blocks: [UInt32]?
    /// It closes the connection when it has sent so many bytes.
    var limit = Int.max
    /// Whether it shakes hands.
    var isSilent = false
    /// How many bytes of a reply are kept until ``release()``, by type and size of the reply; it closes the connection when
    /// the client closes its half, though it owes them, as qemu-nbd does.
    var held: @Sendable (_ type: UInt16, _ size: Int) -> Int = { _, _ in 0 }
    /// Waits before the data of a write is read.
    var beforeData: @Sendable () -> Void = {}
    /// What it sends for a command, by type and cookie; nil for nothing.
    var reply: @Sendable (_ type: UInt16, _ cookie: [UInt8], _ count: Int) -> [UInt8]? = {
      ScriptedNBDServer.goodReply($0, $1, $2)
    }
  }

  private let folder: ScratchFolder
  private let listener: Int32
  private let script: Monitor<Script>
  private let accepted = Atomic<Int>(0)
  private let owed = OwedReplies()

  /// How many connections there were.
  var connections: Int { accepted.load(ordering: .relaxed) }

  init(_ change: (inout Script) -> Void = { _ in }) throws {
    var script = Script()
    change(&script)
    self.script = Monitor(script)
    folder = try ScratchFolder()
    listener = try Self.listen(on: folder.path("nbd.sock"))
    let number = listener
    try DetachedThread.start("scripted-nbd") { [weak self] in
      while true {
        let client = accept(number, nil, nil)
        guard client >= 0 else { return }
        guard let self else { return _ = close(client) }
        accepted.add(1, ordering: .relaxed)
        let script = self.script.withLock { $0 }
        try? DetachedThread.start("scripted-nbd") { [owed = self.owed] in
          var conversation = Conversation(socket: client, script: script, owed: owed)
          conversation.run()
          close(client)
        }
      }
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  var address: NBDAddress {
    get throws { try NBDAddress(parsing: "nbd+unix:///?socket=\(folder.path("nbd.sock"))") }
  }

  /// Does something else from the next connection on.
  func change(_ change: (inout Script) -> Void) { script.withLock { change(&$0) } }

  /// Replies that it owes, in part or all of them.
  var holding: Int { owed.list.withLock { $0.count } }

  /// Sends what is held of so many replies.
  func release(_ count: Int = .max) {
    owed.list.withLock { list in
      for (socket, bytes) in list.prefix(count) {
        _ = unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      }
      list.removeFirst(min(count, list.count))
    }
  }

  /// Ends the connections that it owes replies.
  func hangUp() {
    owed.list.withLock { list in for (socket, _) in list { shutdown(socket, Int32(SHUT_RDWR)) } }
  }

  private static func listen(on path: String) throws -> Int32 {
    let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
      unsafe place.copyBytes(from: path.utf8.prefix(place.count - 1))
    }
    let result = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0, Glibc.listen(number, 16) == 0 else {
      throw HarnessError("no socket \(path)")
    }
    return number
  }

  /// A simple reply: success, and data of ones for a read.
  static func goodReply(_ type: UInt16, _ cookie: [UInt8], _ count: Int) -> [UInt8] {
    [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0] + cookie
      + [UInt8](repeating: 1, count: type == 0 ? count : 0)
  }
}

/// What connections have not sent yet.
private final class OwedReplies: Sendable {
  let list = Monitor<[(Int32, [UInt8])]>([])
}

/// One connection.
private struct Conversation {
  let socket: Int32
  let script: ScriptedNBDServer.Script
  let owed: OwedReplies
  var sent = 0

  init(socket: Int32, script: ScriptedNBDServer.Script, owed: OwedReplies) {
    self.socket = socket
    self.script = script
    self.owed = owed
  }

  private struct IsOver: Error {}

  private func take(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard count > 0 else { return [] }
    let result = unsafe recv(socket, &bytes, count, Int32(MSG_WAITALL))
    guard result == count else { throw IsOver() }
    return bytes
  }

  private mutating func give(_ bytes: [UInt8]) throws {
    let count = min(bytes.count, script.limit - sent)
    let result = unsafe send(socket, bytes, count, Int32(MSG_NOSIGNAL))
    sent += count
    guard result == count, count == bytes.count else { throw IsOver() }
  }

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map {
      UInt8(truncatingIfNeeded: number >> Number($0))
    }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
    bytes.reduce(0) { $0 << 8 | Int($1) }
  }

  mutating func run() {
    if script.isSilent { return _ = try? take(1 << 20) }
    do {
      try negotiate()
      while true { try serve() }
    } catch {
      // The end.
      owed.list.withLock { list in list.removeAll { $0.0 == socket } }
    }
  }

  private mutating func negotiate() throws {
    try give(Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    _ = try take(4)
    while true {
      let header = try take(16)
      let option = Array(header[8..<12])
      _ = try take(Self.number(header[12..<16]))
      let head = Self.bytes(0x3_E889_0455_65A9 as UInt64) + option
      // NBD_OPT_GO; all else is not supported.
      guard Self.number(option[...]) == 7 else {
        try give(head + Self.bytes(0x8000_0001 as UInt32) + [0, 0, 0, 0])
        continue
      }
      try give(
        head + Self.bytes(3 as UInt32) + Self.bytes(12 as UInt32) + [0, 0]
          + Self.bytes(script.size) + Self.bytes(script.flags))
      if let blocks = script.blocks {
        try give(
          head + Self.bytes(3 as UInt32) + Self.bytes(14 as UInt32) + [0, 3]
            + blocks.flatMap { Self.bytes($0) })
      }
      return try give(head + Self.bytes(1 as UInt32) + [0, 0, 0, 0])
    }
  }

  private mutating func serve() throws {
    let header = try take(28)
    let type = UInt16(Self.number(header[6..<8]))
    let count = Self.number(header[24..<28])
    if type == 1 {
      script.beforeData()
      _ = try take(count)
    }
    guard type != 2 else { throw IsOver() }
    guard let reply = script.reply(type, Array(header[8..<16]), count) else { return }
    let held = script.held(type, reply.count)
    try give(Array(reply.dropLast(held)))
    guard held > 0 else { return }
    owed.list.withLock { $0.append((socket, Array(reply.suffix(held)))) }
  }
}
