import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A server that does one thing wrong, and what the client makes of it.
struct ServerMisbehaviour: CustomTestStringConvertible, Sendable {
  /// What the client asks when it happens.
  enum Operation: Sendable {
    case info
    case region
    case interrupt
    case load
    case store
    case reset
    case map
    case unmapAll
    case trigger
    case postAndReset
    case mapRegion
    case signals
    case feature
    case dirtyPages
    case migrationRead
    case migrationWrite
    case postAndLoad
  }

  /// Whether the connection still works afterwards.
  enum Aftermath: Equatable, Sendable {
    case inStep
    case lost(StreamError)
  }

  typealias Deed = @Sendable (ScriptedServer, ScriptedServer.Message) throws -> Void

  let testDescription: String
  let operation: Operation
  /// What the caller gets, nil for success.
  let outcome: ClientError?
  /// Compared instead when the text of the error does not matter.
  let isLike: Bool
  /// Will do as well.
  private var alternative: ClientError?
  let aftermath: Aftermath
  let deed: Deed

  init(
    _ name: String, _ operation: Operation, _ outcome: ClientError?, like: Bool = false,
    _ aftermath: Aftermath = .inStep, deed: @escaping Deed
  ) {
    testDescription = name
    self.operation = operation
    self.outcome = outcome
    isLike = like
    self.aftermath = aftermath
    self.deed = deed
  }

  /// A server that is caught in one way or another, whatever the text says.
  func failingEither(_ one: ClientError, _ other: ClientError) -> ServerMisbehaviour {
    var copy = ServerMisbehaviour(
      testDescription, operation, one, like: true, aftermath, deed: deed)
    copy.alternative = other
    return copy
  }

  /// A server that loses the connection by what it does.
  static func losing(
    _ name: String, _ reason: StreamError, deed: @escaping Deed
  ) -> ServerMisbehaviour {
    .init(name, .info, .disconnected(reason), .lost(reason), deed: deed)
  }

  /// A server whose reply to the operation has this payload.
  static func replying(
    _ name: String, _ operation: Operation, _ outcome: ClientError?, like: Bool = false,
    descriptors count: Int = 0, _ payload: [UInt8]
  ) -> ServerMisbehaviour {
    .init(name, operation, outcome, like: like) { server, request in
      server.reply(to: request, payload, descriptors: descriptors(count))
    }
  }

  /// A server that describes a region of a page, and answers the question for its signals like this.
  static func signalling(
    _ name: String, _ outcome: ClientError?, like: Bool = true, descriptors count: Int = 0,
    _ payload: [UInt8]
  ) -> ServerMisbehaviour {
    .init(name, .signals, outcome, like: like) { server, request in
      server.reply(to: request, words([32, 3, 0, 0, 0x1000, 0, 0, 0]))
      server.reply(to: try server.receive(), payload, descriptors: descriptors(count))
    }
  }

  /// A server that answers a load at 8 like this.
  static func loading(
    _ name: String, offset: UInt64 = 8, region: UInt32 = 0, count: UInt32 = 4, bytes: Int = 4
  ) -> ServerMisbehaviour {
    let access = RegionAccess(offset: offset, region: RegionIndex(rawValue: region), count: count)
    let payload = TestSupport.bytes(of: access) + [UInt8](repeating: 1, count: bytes)
    return replying(name, .load, .implausibleReply(.regionRead, ""), like: true, payload)
  }

  /// A server whose header of the reply is changed.
  static func header(
    _ name: String, _ outcome: ClientError?, like: Bool = false,
    _ header: @escaping @Sendable (ScriptedServer.Message) -> [UInt8]
  ) -> ServerMisbehaviour {
    .init(name, .reset, outcome, like: like) { server, request in server.send(header(request)) }
  }

  /// Carries the operation out.
  func operate(_ client: Client) throws(ClientError) {
    switch operation {
    case .info: _ = try client.deviceInfo(timeout: timeout)
    case .region: _ = try client.region(.bar0)
    case .interrupt: _ = try client.interruptInfo(.intx)
    case .load: _ = try client.load(.bar0, at: 8, as: UInt32.self)
    case .store: try client.store(UInt32(1), .bar0, at: 8)
    case .reset: try client.reset(timeout: timeout)
    case .map: try client.map(.ofOnePage(), at: 0, size: 4096, timeout: timeout)
    case .unmapAll: try client.unmapAll()
    case .trigger: try client.setTrigger(.intx, nil)
    case .postAndReset:
      try client.post(UInt32(1), .bar0, at: 8)
      try client.reset()
    case .mapRegion: _ = try client.mapRegion(.bar0)
    case .signals: _ = try client.signals(of: client.region(.bar0))
    case .feature: _ = try client.migrationState()
    case .dirtyPages:
      _ = try client.dirtyPages(DMALoggingRange(address: 0, length: 1 << 20), pageSize: 4096)
    case .migrationRead: _ = try client.readMigrationData(64)
    case .migrationWrite: try client.writeMigrationData([1, 2, 3])
    case .postAndLoad:
      try client.post(UInt32(1), .bar0, at: 8)
      guard try client.load(.bar0, at: 8) == expected(at: 8, as: UInt32.self) else {
        throw .implausibleReply(.regionRead, "the load got something else")
      }
    }
  }

  /// Short where nothing will come; else the connection's, which is long for the sake of busy machines.
  private var timeout: Duration? {
    if case .timedOut = outcome?.reason { return .milliseconds(60) }
    return nil
  }

  /// Compares what came out.
  func matches(_ error: ClientError?) -> Bool {
    guard isLike else { return error == outcome }
    return isLike(error, outcome) || alternative != nil && isLike(error, alternative)
  }

  private func isLike(_ error: ClientError?, _ outcome: ClientError?) -> Bool {
    switch (error?.reason, outcome?.reason) {
    case (.implausibleReply(let one, _), .implausibleReply(let other, _)): one == other
    case (.malformedReply(let one, _), .malformedReply(let other, _)): one == other
    case (.unmappable(let one, _), .unmappable(let other, _)): one == other
    default: false
    }
  }
}

/// A region's description with a chain of capabilities behind it.
func regionWithChain(first: UInt32, _ chain: [UInt8], argsz: UInt32? = nil) -> [UInt8] {
  words([argsz ?? UInt32(32 + chain.count), 0xF, 0, first, 0x10000, 0, 0, 0]) + chain
}

/// The header of a capability.
func capability(_ id: UInt16, next: UInt32) -> [UInt8] { words([UInt32(id) | 1 << 16, next]) }
