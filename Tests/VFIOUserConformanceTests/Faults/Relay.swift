import CLinux
import LinuxPrimitives
import SystemPackage
import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

/// Stands between a client and a server that is right, and makes it a server with one fault.
final class Relay: Sendable {
  let path: FilePath
  private let upstream: FilePath
  private let listener: ListeningSocket
  private let fault: Fault
  private let memory = Monitor(FaultMemory())
  private let isDead = Monitor(false)

  init(_ fault: Fault, at path: FilePath, before upstream: FilePath) throws {
    self.fault = fault
    self.path = path
    self.upstream = upstream
    listener = try ListeningSocket(path: path)
    listener.neverWait()
    try DetachedThread.start("relay") { [weak self] in
      while let relay = self, relay.accept() {}
    }
  }

  /// Ends everything.
  func stop() {
    isDead.update { $0 = true }
    listener.remove()
  }

  private func accept() -> Bool {
    guard let descriptor = try? listener.accept() else {
      if isDead.withLock({ $0 }), !FileInfo.isSocket(path) { return false }
      _ = clinux_poll(nil, 0, 1_000_000)
      return true
    }
    let client = MessageSocket(adopting: descriptor)
    guard !isDead.withLock({ $0 }), let server = try? MessageSocket(connectingTo: upstream) else {
      client.shutdown()
      return true
    }
    memory.update { $0.connections += 1 }
    try? DetachedThread.start("relayed") { [self] in
      RelayedConnection(client, server, fault, memory, isDead).run()
    }
    return true
  }
}

/// One connection through a relay.
private struct RelayedConnection {
  let client: RelayEnd
  let server: RelayEnd
  let fault: Fault
  let memory: Monitor<FaultMemory>
  let isDead: Monitor<Bool>

  init(
    _ client: MessageSocket, _ server: MessageSocket, _ fault: Fault,
    _ memory: Monitor<FaultMemory>, _ isDead: Monitor<Bool>
  ) {
    self.client = RelayEnd(client)
    self.server = RelayEnd(server)
    self.fault = fault
    self.memory = memory
    self.isDead = isDead
  }

  func run() {
    var open: [Passing] = []
    var count = 0
    var isRaw = false
    while !isDead.withLock({ $0 }) {
      guard hasSomething() else { continue }
      if client.socket.isReadable {
        let isOpen = client.pull()
        let goesOn = isRaw ? forward() : takeRequests(&open, &count, &isRaw)
        flush()
        guard goesOn else { break }
        guard isOpen else {
          end(count)
          break
        }
      }
      if server.socket.isReadable {
        let isOpen = server.pull()
        let goesOn = takeReplies(&open)
        flush()
        guard goesOn, isOpen else { break }
      }
    }
    client.socket.shutdown()
    server.socket.shutdown()
  }

  /// Waits for something to do on either side.
  private func hasSomething() -> Bool {
    var interests = [client, server].map { end in
      end.socket.withDescriptor {
        clinux_interest(descriptor: $0, wanted: Int16(CLINUX_READABLE), happened: 0)
      }
    }
    return unsafe clinux_poll(&interests, 2, 20_000_000) > 0
  }

  private func flush() {
    server.flush()
    client.flush()
  }

  private func forward() -> Bool {
    server.send(client.drain())
    return true
  }

  private func end(_ count: Int) {
    let unfinished = client.buffer.count
    let deed = memory.update { fault.ending(unfinished, count, &$0) }
    if case .kill = deed { isDead.update { $0 = true } }
    server.send(client.drain())
    server.flush()
  }

  private func takeRequests(
    _ open: inout [Passing], _ count: inout Int, _ isRaw: inout Bool
  ) -> Bool {
    while true {
      switch client.next() {
      case .message(var message):
        count += 1
        let deed = memory.update { fault.request(&message, &$0) }
        if case .pass = deed {
          if message.header.wantsReply, !message.header.flags.isReply { open.append(message) }
          server.send(message.bytes, message.descriptors)
        }
        guard carryOut(deed) else { return false }
      case .incomplete:
        return client.buffer.isEmpty || carryOut(fault.piece(client.buffer.count))
      case .malformed(let header):
        let deed = memory.update { fault.malformed(header, &$0) }
        isRaw = true
        if case .pass = deed { server.send(client.drain()) }
        return carryOut(deed)
      }
    }
  }

  private func takeReplies(_ open: inout [Passing]) -> Bool {
    while case .message(var reply) = server.next() {
      var deed = Deed.pass
      if reply.header.flags.isReply, !open.isEmpty {
        let request = open.removeFirst()
        deed = memory.update { fault.reply(&reply, request, &$0) }
      }
      if case .pass = deed { client.send(reply.bytes, reply.descriptors) }
      guard carryOut(deed) else { return false }
    }
    return true
  }

  /// - Returns: whether the connection goes on.
  private func carryOut(_ deed: Deed) -> Bool {
    switch deed {
    case .pass, .swallow: return true
    case .answer(let bytes):
      client.send(bytes)
      return true
    case .end: return false
    case .kill:
      isDead.update { $0 = true }
      return false
    }
  }
}
