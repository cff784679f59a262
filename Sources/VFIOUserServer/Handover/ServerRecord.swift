internal import SystemPackage

/// A server with its client, for a process that continues with its descriptors.
struct ServerRecord: Codable, Sendable {
  var listener: ListenerRecord
  /// Callers that wait for the place of the client, or to be refused.
  var callers: [Int32]
  /// Nil without a client.
  var client: ClientRecord?
}

/// A listening socket.
struct ListenerRecord: Codable, Sendable {
  var number: Int32
  /// Nil if the socket was inherited from a supervisor.
  var path: String?
  var inode: UInt64
  var name: String?
}

/// The client of a server.
struct ClientRecord: Codable, Sendable {
  var session: SessionRecord
  var memory: MemoryRecord
  var interrupts: InterruptConnection
}

extension ListeningSocket {
  var record: ListenerRecord {
    ListenerRecord(number: descriptor.number, path: path?.string, inode: inode, name: name)
  }

  /// Continues with a socket of another process.
  convenience init(resuming record: ListenerRecord) {
    self.init(
      resuming: OwnedDescriptor(adopting: record.number), path: record.path.map { FilePath($0) },
      inode: record.inode, name: record.name)
  }
}
