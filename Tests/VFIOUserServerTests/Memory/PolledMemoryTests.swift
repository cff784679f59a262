import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// What a device in somebody's loop does with its client's memory and interrupts.
@Suite struct `A polled device` {
  private let device = CallbackDevice()
  private let store = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4)) + [1, 2, 3, 4]

  private func onWrite(_ body: @escaping @Sendable (DeviceContext) -> Void) {
    device.state.withLock { $0.onWrite = body }
  }

  @Test func `A callback of a polled device reads and writes mapped guest memory`() throws {
    let client = try ServedClient(.loop, device)
    onWrite { bus in
      let transfer = bus.memory.access()
      try? transfer.write(
        at: ServedClient.base + 8, from: transfer.read(at: ServedClient.base, count: 4))
    }
    let file = try #require(MappedFile(try client.file.lent()))
    for place in 0..<4 { file[place] = UInt8(0x40 + place) }
    #expect(try client.peer.ask(message(.regionWrite, store)).errno == nil)
    #expect((0..<4).map { file[8 + $0] } == [0x40, 0x41, 0x42, 0x43])
    #expect(try client.peer.ask(ServedClient.unmap(id: 5)).errno == nil)
    #expect(throws: MemoryError.self) {
      try device.bus.memory.access().read(at: ServedClient.base, count: 4)
    }
  }

  @Test func `A polled device reads memory by messages after its reply, not in the callback`()
    throws
  {
    let client = try ServedClient(.loop, device)
    let base: UInt64 = 0x8000_0000
    #expect(try client.peer.ask(ServedClient.map(base, 0x10000, id: 2)).errno == nil)
    let seen = Monitor<(inside: MemoryError?, later: [UInt8]?)>((nil, nil))
    onWrite { bus in
      do throws(MemoryError) {
        _ = try bus.memory.access().read(at: base, count: 8)
      } catch {
        seen.update { $0.inside = error }
      }
      try? bus.afterReply { transfer in
        let bytes = try? transfer.read(at: base, count: 3)
        seen.update { $0.later = bytes }
      }
    }
    #expect(try client.peer.ask(message(.regionWrite, id: 12, store)).header.id == 12)
    let request = try client.peer.receive()
    #expect(request.header.command == .dmaRead)
    // The loop serves commands while the device waits.
    #expect(try client.peer.ask(ServedClient.read(id: 13)).header.id == 13)
    client.send(
      message(.dmaRead, id: request.header.id, flags: .reply, request.payload + [7, 8, 9]))
    let result = seen.withLock(when: { $0.later != nil }, before: .after(.seconds(10))) { $0 }
    #expect(result?.inside == .wouldDeadlock)
    #expect(result?.later == [7, 8, 9])
  }

  @Test(arguments: [true, false])
  func `A polled device reads and writes memory by messages with and without a twin socket`(
    twin: Bool
  ) throws {
    let path = socketPath()
    let server = try DeviceServer(device)
    let listener = try ListeningSocket(path: path)
    let loop = try Loop { [try PolledServer(server, on: listener)] }
    defer { loop.stop() }
    var options = ClientOptions()
    if !twin { options.proposal.twinSocket = nil }
    let client = try Client(connectingTo: path, options: options)
    let memory = try SharedMemory(size: 1 << 20)
    memory.write(at: 0, from: Array("before".utf8))
    try client.map(memory, at: 0x10000, size: memory.size, isShared: false)
    let transfer = try device.bus.memory.access()
    let outcome = try Outcome { () throws(MemoryError) -> [UInt8] in
      let large = [UInt8](repeating: 0x5A, count: 300_000)
      try transfer.write(at: 0x10000 + 100, from: large)
      guard try transfer.read(at: 0x10000 + 100, count: 300_000) == large else { return [] }
      return try transfer.read(at: 0x10000, count: 6)
    }
    #expect(try outcome.get() == Array("before".utf8))
  }

  @Test func `A polled device signals INTx again at the unmask while its level is high`() throws {
    let path = socketPath()
    let device = TestDevice()
    let server = try DeviceServer(device)
    let listener = try ListeningSocket(path: path)
    let loop = try Loop { [try PolledServer(server, on: listener)] }
    defer { loop.stop() }
    let client = try Client(connectingTo: path)
    let counter = try EventFD()
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    #expect(counter.wait(for: .seconds(10)) == 1)
    try client.setMask(false, on: .intx)
    #expect(counter.wait(for: .seconds(10)) == 1)
    device.setLevel(false)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
  }

  @Test
  func `A polled device that holds memory during DMA_UNMAP does not block others in its loop`()
    throws
  {
    let paths = [socketPath(), socketPath()]
    let devices = [device, CallbackDevice()]
    var options = ServerOptions()
    options.quiesceTimeout = .seconds(600)
    let servers = try devices.map { try DeviceServer($0, options) }
    let listeners = try paths.map { try ListeningSocket(path: $0) }
    let loop = try Loop {
      try zip(servers, listeners).map { try PolledServer($0, on: $1) }
    }
    defer { loop.stop() }
    let peers = try paths.map { ScriptedPeer(try MessageSocket(connectingTo: $0)) }
    let (holder, file) = (Holder(), try TruncatableMemory(size: ServedClient.size))
    for peer in peers { _ = try peer.ask(ScriptedPeer.versionOfQEMU) }
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let map = ServedClient.map(ServedClient.base, ServedClient.size, id: 1)
    #expect(try peers[0].ask(map, descriptors: descriptors).errno == nil)
    try holder.pin(
      GuestRange(address: ServedClient.base, count: 1), for: .reading,
      of: device.bus.memory.access())
    peers[0].send(ServedClient.unmap(id: 10))
    #expect(eventually { device.state.withLock { !$0.quiesced.isEmpty } })
    #expect(try peers[1].ask(ServedClient.read(id: 3)).header.id == 3)
    holder.release()
    #expect(try peers[0].receive().header.id == 10)
  }

  @Test func `A client that does not read does not block other devices in the polling loop`() throws
  {
    let paths = [socketPath(), socketPath()]
    let loop = try Loop {
      try paths.map { path in
        try PolledServer(DeviceServer(TestDevice()), on: ListeningSocket(path: path))
      }
    }
    defer { loop.stop() }
    func connect(_ path: FilePath) throws -> ScriptedPeer {
      var socket: MessageSocket?
      _ = eventually {
        socket = try? MessageSocket(connectingTo: path)
        return socket != nil
      }
      let peer = ScriptedPeer(try #require(socket))
      _ = try peer.ask(ScriptedPeer.versionOfQEMU)
      return peer
    }
    let (silent, other) = (try connect(paths[0]), try connect(paths[1]))
    func read(_ id: Int) -> [UInt8] {
      message(
        .regionRead, id: UInt16(id),
        bytes(of: RegionAccess(offset: 0, region: .bar4, count: 256 << 10)))
    }
    // Four megabytes of replies, which no socket holds.
    for id in 0..<16 { silent.send(read(id)) }
    for id in 0..<50 {
      #expect(try other.ask(message(.deviceReset, id: UInt16(id))).header.id == id)
    }
    // What was not sent was not thrown away.
    for id in 0..<16 {
      let answer = try silent.receive()
      #expect(answer.header.id == UInt16(id) && answer.payload.count == 16 + 256 << 10)
    }
    #expect(try silent.ask(message(.deviceReset, id: 99)).header.id == 99)
  }

  @Test func `A polled server disconnects a client that does not read in time and serves the next`()
    throws
  {
    let path = socketPath()
    var options = ServerOptions()
    options.messageTimeout = .milliseconds(50)
    let server = try DeviceServer(TestDevice(), options)
    let listener = try ListeningSocket(path: path)
    let loop = try Loop { [try PolledServer(server, on: listener)] }
    defer { loop.stop() }
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    let access = RegionAccess(offset: 0, region: .bar4, count: 1 << 20)
    peer.send(message(.regionRead, bytes(of: access)))
    #expect(eventually { !server.hasClient })
    let next = ScriptedPeer(try MessageSocket(connectingTo: path))
    #expect(try next.ask(ScriptedPeer.versionOfQEMU).errno == nil)
  }

  @Test func `A client that sends but does not read does not make the polling loop spin`() throws {
    let path = socketPath()
    let server = try DeviceServer(TestDevice())
    let listener = try ListeningSocket(path: path)
    let loop = try Loop { [try PolledServer(server, on: listener)] }
    defer { loop.stop() }
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    let access = RegionAccess(offset: 0, region: .bar4, count: 1 << 20)
    peer.send(message(.regionRead, bytes(of: access)))
    // More than is received ahead and the socket holds: the sender must not be read for ever.
    let write = message(
      .regionWrite, flags: .noReply,
      bytes(of: RegionAccess(offset: 0, region: .bar4, count: 32 << 10))
        + [UInt8](repeating: 1, count: 32 << 10))
    var sent = 0
    while sent < 256 {
      let ready = try peer.socket.wait(for: .writable, before: .after(.milliseconds(200)))
      guard ready.contains(.writable) else { break }
      let taken = try unsafe write.span.withUnsafeBytes { try unsafe peer.socket.trySend($0) }
      guard taken == write.count else { break }
      sent += 1
    }
    #expect(sent < 256)
    #expect(server.hasClient)
    // A loop that spins would have turned thousands of times by now.
    #expect(loop.turns < 2_000)
  }
}
