import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// Who serves a device: a thread of its own, or a loop of the caller's.
enum Driver: String, CaseIterable, Codable, CustomTestStringConvertible {
  case thread, loop
  var testDescription: String { self == .thread ? "by a thread" : "in a loop" }
}

/// A loop of the caller's own, with any number of servers in it.
final class Loop: Sendable {
  private let isOver = Monitor(false)
  private let hasEnded = Monitor(false)
  private let turnCount = Monitor(0)

  init(_ make: @escaping @Sendable () throws -> [PolledServer]) throws {
    let (isOver, hasEnded, turnCount) = (isOver, hasEnded, turnCount)
    try DetachedThread.start("loop") {
      defer { hasEnded.update { $0 = true } }
      guard let servers = try? make() else { return }
      while !isOver.withLock({ $0 }) {
        for server in servers where EventPoll.isReadable(server.descriptor, for: .milliseconds(1)) {
          turnCount.update { $0 += 1 }
          try? server.process()
        }
      }
      for server in servers { server.stop() }
    }
  }

  /// How often there was something to do.
  var turns: Int { turnCount.withLock { $0 } }

  func stop() {
    isOver.update { $0 = true }
    _ = hasEnded.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
  }

  deinit { isOver.update { $0 = true } }
}

/// A client of one device, either way; it lends 64 KiB of a file at 0x10000.
final class ServedClient {
  static let base: UInt64 = 0x10000
  static let size: UInt64 = 0x10000

  let device: CallbackDevice
  let server: DeviceServer
  let peer: ScriptedPeer
  let file: TruncatableMemory
  let holder = Holder()
  let loop: Loop?

  init(
    _ driver: Driver, _ device: CallbackDevice = CallbackDevice(),
    _ change: (inout ServerOptions) -> Void = { _ in }
  ) throws {
    var options = ServerOptions()
    // Nothing is to come to pass by the passing of time.
    options.quiesceTimeout = .seconds(600)
    change(&options)
    self.device = device
    let server = try DeviceServer(device, options)
    self.server = server
    file = try TruncatableMemory(size: Self.size)
    switch driver {
    case .thread:
      let (mine, theirs) = try MessageSocket.pair()
      try DetachedThread.start("server") { server.serve(theirs) }
      peer = ScriptedPeer(mine)
      loop = nil
    case .loop:
      let path = socketPath()
      let listener = try ListeningSocket(path: path)
      loop = try Loop { [try PolledServer(server, on: listener)] }
      peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    }
    _ = try peer.ask(Self.version)
    try lend(id: 1)
  }

  /// Lends the file.
  func lend(id: UInt16) throws {
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let answer = try peer.ask(Self.map(Self.base, Self.size, id: id), descriptors: descriptors)
    #expect(answer.errno == nil)
  }

  deinit {
    peer.socket.shutdown()
    loop?.stop()
  }

  /// Not QEMU's, whose DMA messages have to be asked for their layout first.
  static var version: [UInt8] {
    let json = Array(#"{"capabilities":{"max_data_xfer_size":1048576}}"#.utf8)
    return message(.version, [0, 0, 1, 0] + json + [0])
  }

  static func map(_ address: UInt64, _ size: UInt64, id: UInt16) -> [UInt8] {
    message(
      .dmaMap, id: id,
      bytes(of: DMAMap(flags: [.readable, .writable], address: address, size: size)))
  }

  static func unmap(id: UInt16, flags: MessageFlags = []) -> [UInt8] {
    message(.dmaUnmap, id: id, flags: flags, bytes(of: DMAUnmap(address: base, size: size)))
  }

  static func read(id: UInt16, count: UInt32 = 4) -> [UInt8] {
    message(
      .regionRead, id: id, bytes(of: RegionAccess(offset: 0, region: .bar0, count: count)))
  }

  /// The device begins something with the client's memory that ends with the holder's release.
  func pin() throws {
    try holder.pin(
      GuestRange(address: Self.base, count: 16), for: .reading, of: device.bus.memory.access())
  }

  /// Sends without waiting.
  func send(_ messages: [UInt8]...) { for message in messages { peer.send(message) } }

  /// Waits until the server has received all that was sent: none of it is in its socket any more.
  func allIsReceived() -> Bool {
    eventually {
      var unread: Int32 = 0
      // Sound: the number is lent for the call, which writes a C int.
      let result = peer.socket.withDescriptor { unsafe ioctl($0, UInt(TIOCOUTQ), &unread) }
      return result == 0 && unread == 0
    }
  }

  /// Ids of the next replies, and the errors.
  func next(_ count: Int) throws -> [[UInt32?]] {
    try (0..<count).map { _ in
      let answer = try peer.receive()
      return [UInt32(answer.header.id), answer.errno]
    }
  }
}
