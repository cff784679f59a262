import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A device with a page of registers, whose callback does what a test wants.
final class CallbackDevice: PluggedDevice {
  struct State {
    var bus: DeviceContext?
    var onWrite: (@Sendable (DeviceContext) -> Void)?
    var onQuiesce: (@Sendable () -> Void)?
    var quiesced: [[GuestRange]] = []
    var lastFailure: MemoryError?
    var departures = 0
  }

  let state = Monitor(State())
  let pci: PCIDescription

  /// - Parameter isMappable: whether there is a BAR2 of 64 KiB that clients map.
  init(isMappable: Bool = false) {
    var bars = [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)]
    if isMappable {
      bars[2] = BaseAddressRegister(
        .memory32(prefetchable: true), size: 64 << 10, backing: .memory(mappable: .everything))
    }
    pci = PCIDescription(
      identity: PCIIdentity(
        vendor: 0x1234, device: 0x5678,
        classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
      bars: bars)
  }

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    let (body, bus) = state.withLock { ($0.onWrite, $0.bus) }
    if let body, let bus { body(bus) }
  }
  func reset() {}
  func quiesce(_ windows: [GuestRange]) {
    let body = state.withLock { state in
      state.quiesced.append(windows)
      return state.onQuiesce
    }
    body?()
  }
  func clientLeft() { state.update { $0.departures += 1 } }

  /// The bus; it is there once the server is.
  var bus: DeviceContext {
    get throws { try #require(state.withLock { $0.bus }) }
  }
}

/// What a thread comes to in the end.
final class Outcome<Value: Sendable>: Sendable {
  private let value = Monitor<Result<Value, MemoryError>?>(nil)

  /// Runs `body` on a thread of its own.
  init(_ body: @escaping @Sendable () throws(MemoryError) -> Value) throws {
    let value = value
    try DetachedThread.start("outcome") {
      do throws(MemoryError) {
        let result = try body()
        value.update { $0 = .success(result) }
      } catch {
        value.update { $0 = .failure(error) }
      }
    }
  }

  /// Whether the thread has ended.
  var isThere: Bool { value.withLock { $0 != nil } }

  /// Waits for it.
  func get() throws -> Value {
    let result = value.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 }
    return try #require(result ?? nil).get()
  }

  /// Waits for the error that it has to come to.
  var error: MemoryError? {
    do {
      _ = try get()
      return nil
    } catch {
      return error as? MemoryError
    }
  }
}

/// A client that lends a megabyte by messages only, at 0x10000, and its device.
final class MessageClient {
  let device = CallbackDevice()
  let peer: ScriptedPeer
  let server: DeviceServer
  static let base: UInt64 = 0x10000

  init(
    _ capabilities: String = #"{"max_data_xfer_size":1048576}"#,
    _ change: (inout ServerOptions) -> Void = { _ in }
  ) throws {
    var options = ServerOptions()
    change(&options)
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device, options)
    self.server = server
    try DetachedThread.start("server") { server.serve(theirs) }
    peer = ScriptedPeer(mine)
    let json = Array(#"{"capabilities":\#(capabilities)}"#.utf8)
    _ = try peer.ask(message(.version, [0, 0, 1, 0] + json + [0]))
    try map()
  }

  func map() throws {
    let map = DMAMap(flags: [.readable, .writable], address: Self.base, size: 1 << 20)
    let answer = try peer.ask(message(.dmaMap, bytes(of: map)))
    #expect(answer.errno == nil)
  }

  /// The device reads, on a thread of its own.
  func startRead(_ count: Int, at offset: UInt64 = 0) throws -> Outcome<[UInt8]> {
    let transfer = try device.bus.memory.access()
    return try Outcome { () throws(MemoryError) in
      try transfer.read(at: Self.base + offset, count: count)
    }
  }

  /// The device writes, on a thread of its own.
  func startWrite(_ bytes: [UInt8], at offset: UInt64 = 0) throws -> Outcome<Void> {
    let transfer = try device.bus.memory.access()
    return try Outcome { () throws(MemoryError) in
      try transfer.write(at: Self.base + offset, from: bytes)
    }
  }

  /// What the client has at an address.
  static func content(_ access: DMAAccess) -> [UInt8] {
    (0..<access.count).map { UInt8(truncatingIfNeeded: (access.address + $0) &* 131 >> 3) }
  }

  /// The next request of the server, which has to be this one.
  func expect(_ command: Command) throws -> (id: UInt16, access: DMAAccess, data: [UInt8]) {
    let request = try peer.receive()
    #expect(request.header.command == command)
    #expect(request.header.flags == [])
    let access = try DMAAccess(decoding: request.payload.span)
    return (request.header.id, access, Array(request.payload.dropFirst(16)))
  }

  func answerRead(_ request: (id: UInt16, access: DMAAccess, data: [UInt8])) {
    peer.send(
      message(
        .dmaRead, id: request.id, flags: .reply,
        bytes(of: request.access) + Self.content(request.access)))
  }

  /// Shows that the stream is in step and the device still works.
  func checkThatAllIsWell() throws {
    let info = message(
      .deviceGetInfo, id: 4711,
      bytes(of: DeviceInfo(flags: [], regionCount: 0, interruptTypeCount: 0)))
    #expect(try peer.ask(info).header.id == 4711)
    let outcome = try startRead(8, at: 64)
    answerRead(try expect(.dmaRead))
    #expect(
      try outcome.get() == Self.content(DMAAccess(address: Self.base + 64, count: 8)))
  }
}

/// Taking windows back as a server does it, in one call.
extension GuestMemory {
  func remove(address: UInt64, size: UInt64, before deadline: Deadline) throws {
    try wait(for: try startRemoving(address: address, size: size), before: deadline)
  }

  func removeAll(before deadline: Deadline) throws {
    try wait(for: startRemovingAll(), before: deadline)
  }

  private func wait(for removal: Removal?, before deadline: Deadline) throws {
    guard let removal else { return }
    while !finish(removal) {
      guard !deadline.hasPassed else {
        cancel(removal)
        throw Errno.resourceBusy
      }
      _ = eventually(within: .milliseconds(1)) { false }
    }
  }
}
