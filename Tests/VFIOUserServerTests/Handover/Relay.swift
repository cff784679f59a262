import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// A device that goes from server to server in this process, as it goes from program to program in an upgrade.
///
/// The servers that it has left stay halted, with their own descriptors, until the relay is released.
final class Relay {
  let path = socketPath()
  private(set) var device: Movable
  private(set) var server: DeviceServer
  private var listener: ListeningSocket
  private var left: [(handover: ServerHandover, server: DeviceServer)] = []
  private let options: ServerOptions
  private let memory: UInt64

  init(memory: UInt64 = 64 << 10, _ change: (inout ServerOptions) -> Void = { _ in }) throws {
    var options = ServerOptions()
    options.handoverName = path.string
    change(&options)
    self.options = options
    self.memory = memory
    (device, server) = try plug(Movable.pci(memory), options) { try Movable($0) }
    listener = try ListeningSocket(path: path)
    try server.start(on: listener) { _ in }
  }

  deinit {
    for one in left {
      one.handover.end()
      one.server.stop()
    }
    server.stop()
  }

  /// Gives device and client to another server.
  ///
  /// - Throws: why the present one goes on.
  func handOver(within time: Duration = .seconds(5)) throws {
    let handover = try ServerHandover(server, listener)
    do {
      let saved = try Self.halt(handover, before: .after(time))
      let (next, served, resumed) = try takeOver(saved)
      left.append((handover, server))
      (device, server, listener) = (next, served, resumed)
    } catch {
      handover.end()
      throw error
    }
  }

  /// Halts the server, and lets it go on.
  func halt() throws {
    let handover = try ServerHandover(server, listener)
    defer { handover.end() }
    _ = try Self.halt(handover, before: .after(.seconds(5)))
  }

  static func halt(_ handover: ServerHandover, before deadline: Deadline) throws -> SavedServer {
    handover.begin()
    try handover.waitUntilResting(before: deadline)
    handover.suspend()
    try handover.waitUntilSuspended(before: deadline)
    return try handover.record(before: deadline)
  }

  private func takeOver(_ saved: SavedServer) throws -> (Movable, DeviceServer, ListeningSocket) {
    let mine = KeptDescriptor.announced.filter { $0.name.contains(path.string) }
    KeptDescriptor.inherit(
      try mine.suffix(1).map { entry in
        KeptDescriptor.Entry(
          name: entry.name, number: try OwnedDescriptor.duplicate(of: entry.number).release())
      })
    defer { KeptDescriptor.closeUntaken() }
    let (next, served) = try plug(Movable.pci(memory), options) { try Movable($0) }
    let taken = try served.takeOver(try saved.duplicated(), before: .after(.seconds(5)))
    try served.start(on: taken.listener) { _ in }
    try taken.startSession()
    taken.proceed()
    return (next, served, taken.listener)
  }

  /// A client that sends what a test wants.
  func peer(negotiated: Bool = true) throws -> ScriptedPeer {
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    if negotiated { #expect(try peer.ask(ServedClient.version).errno == nil) }
    return peer
  }

  func client() throws -> Client { try Client(connectingTo: path) }
}

/// Messages for a ``Movable``.
enum Say {
  static func read(id: UInt16, at offset: UInt64 = 0) -> [UInt8] {
    message(
      .regionRead, id: id, bytes(of: RegionAccess(offset: offset, region: .bar0, count: 4)))
  }

  static func write(id: UInt16, at offset: UInt64 = 0, _ value: UInt32) -> [UInt8] {
    message(
      .regionWrite, id: id,
      bytes(of: RegionAccess(offset: offset, region: .bar0, count: 4)) + littleEndian(value))
  }

  /// Memory space and bus master.
  static func enable(id: UInt16) -> [UInt8] {
    message(
      .regionWrite, id: id,
      bytes(of: RegionAccess(offset: 4, region: .configuration, count: 2)) + [6, 0])
  }

  static func littleEndian(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
