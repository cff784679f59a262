import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A path for a socket that no other test uses.
func socketPath() -> FilePath {
  FilePath("/tmp/vfio-user-test-\(UInt64.random(in: .min ... .max)).sock")
}

/// A server on a path, which ends with the scope of a test.
final class RunningServer {
  let path: FilePath
  let device: TestDevice
  let server: DeviceServer

  init(_ device: TestDevice = TestDevice(), path: FilePath = socketPath()) throws {
    self.path = path
    self.device = device
    server = try DeviceServer(device)
    let listener = try ListeningSocket(path: path)
    let server = server
    try DetachedThread.start("accept") { try? server.run(on: listener) }
  }

  func stop() { server.stop() }
  deinit { stop() }
}

func clientOfTestDevice(_ device: TestDevice) throws -> Client {
  let (mine, theirs) = try MessageSocket.pair()
  let server = try DeviceServer(device)
  try DetachedThread.start("server") { server.serve(theirs) }
  return try Client(mine)
}

@Suite struct `A device's regions` {
  @Test(arguments: [1, 2, 3, 7, 8, 100, 4096])
  func `Region accesses may have any byte count and any offset`(count: Int) throws {
    let client = try clientOfTestDevice(TestDevice())
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 1) }
    for offset in [0, 1, 3, 4093] as [UInt64] {
      try client.write(.bar2, at: offset, from: bytes)
      #expect(try client.read(.bar2, at: offset, count: count) == bytes)
    }
  }

  @Test func `Region accesses above the message limit are split into several messages`() throws {
    let client = try clientOfTestDevice(TestDevice())
    let bytes = (0..<(2 << 20)).map { UInt8(truncatingIfNeeded: $0 / 251) }
    // The device takes byte after byte, which under a sanitizer and among other tests takes its time.
    try client.write(.bar4, at: 0, from: bytes, timeout: .seconds(60))
    let read = try client.read(.bar4, at: 0, count: bytes.count, timeout: .seconds(60))
    #expect(read == bytes)
  }

  @Test func `GET_REGION_INFO reports size and flags of each region`() throws {
    let client = try clientOfTestDevice(TestDevice())
    #expect(try client.deviceInfo().regionCount == 9)
    #expect(try client.region(.bar0).size == 256)
    #expect(try client.region(.bar1).size == 0)
    #expect(try client.region(.bar4).size == 2 << 20)
    #expect(try client.region(.configuration).size == 256)
    #expect(try client.region(.bar0).flags == [.readable, .writable])
    #expect(try client.region(.vga).flags == [])
  }

  @Test func `A burst of region reads is answered in order`() throws {
    let peer = try connect()
    let count = 500
    var burst: [UInt8] = []
    for id in 0..<count {
      burst += message(
        .regionRead, id: UInt16(id),
        bytes(of: RegionAccess(offset: UInt64(id % 200), region: .bar0, count: 4)))
    }
    peer.send(burst)
    for id in 0..<count { #expect(try peer.receive().header.id == UInt16(id)) }
  }

  @Test func `REGION_WRITE_MULTI executes its writes in order and replies with their count`() throws
  {
    let peer = try connect()
    let writes = RegionWriteMulti(writes: [
      RegionWrite(offset: 0, region: .bar0, count: 4, value: 0x0403_0201),
      RegionWrite(offset: 2, region: .bar0, count: 1, value: 0xFF),
      RegionWrite(offset: 4, region: .bar0, count: 8, value: 0x0C0B_0A09_0807_0605),
    ])
    let answer = try peer.ask(message(.regionWriteMulti, bytes(of: writes)))
    #expect(answer.payload == [3, 0, 0, 0, 0, 0, 0, 0])
    let read = try peer.ask(
      message(.regionRead, bytes(of: RegionAccess(offset: 0, region: .bar0, count: 12))))
    #expect(read.payload.dropFirst(16) == [1, 2, 0xFF, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  }

  @Test func `A region read of zero bytes is answered without data`() throws {
    let peer = try connect()
    let access = bytes(of: RegionAccess(offset: 8, region: .bar0, count: 0))
    #expect(try peer.ask(message(.regionRead, access)).payload == access)
  }
}

@Suite struct `DMA_MAP and DMA_UNMAP` {
  /// What the server says to a map or an unmap; 0 for yes.
  func errno(_ peer: ScriptedPeer, _ command: Command, _ request: some WireEncodable) throws
    -> UInt32
  {
    try peer.ask(message(command, bytes(of: request))).errno ?? 0
  }

  @Test func `DMA_MAP refuses overlapping windows and DMA_UNMAP refuses unknown ones`() throws {
    let peer = try connect()
    let map: (UInt64, UInt64) throws -> UInt32 = { address, size in
      try errno(peer, .dmaMap, DMAMap(flags: .readable, address: address, size: size))
    }
    let unmap: (UInt64, UInt64) throws -> UInt32 = { address, size in
      try errno(peer, .dmaUnmap, DMAUnmap(address: address, size: size))
    }
    let exists = UInt32(Errno.fileExists.rawValue)
    let missing = UInt32(Errno.noSuchFileOrDirectory.rawValue)
    #expect(try map(0x10000, 0x10000) == 0)
    #expect(try map(0x20000, 0x1000) == 0)
    #expect(try map(0x10000, 0x10000) == exists)
    #expect(try map(0xF000, 0x1001) == exists)
    #expect(try map(0x1FFFF, 1) == exists)
    #expect(try map(0x20FFF, 0x1000) == exists)
    #expect(try map(0, .max) == exists)
    #expect(try map(0x21000, 0x1000) == 0)
    #expect(try unmap(0x10000, 0x8000) == missing)
    #expect(try unmap(0x10000, 0x10000) == 0)
    #expect(try unmap(0x10000, 0x10000) == missing)
    #expect(try map(0x10000, 0x8000) == 0)
    #expect(try errno(peer, .dmaUnmap, DMAUnmap.everything) == 0)
    #expect(try map(0, 1 << 20) == 0)
  }

  @Test func `DMA_MAP and DMA_UNMAP accept a window at the end of the address space`() throws {
    let peer = try connect()
    let last = DMAMap(flags: .readable, address: .max - 4095, size: 4096)
    #expect(try errno(peer, .dmaMap, last) == 0)
    #expect(try errno(peer, .dmaUnmap, DMAUnmap(address: .max - 4095, size: 4096)) == 0)
  }

  @Test func `DMA windows are unmapped when the client disconnects`() async {
    await #expect(processExitsWith: .success) { try checkThatNothingStays() }
  }
}

/// A client maps a hundred windows, sets an eventfd, and goes.
private func checkThatNothingStays() throws {
  let device = TestDevice()
  let descriptors = settledDescriptors()
  let mappings = mappingsOfClients()
  try mapHundredWindows(device, mappings)
  _ = eventually { device.state.withLock { $0.departures } == 1 }
  _ = eventually { openDescriptors() == descriptors }
  #expect(openDescriptors() == descriptors)
  #expect(mappingsOfClients() == mappings)
}

private func mapHundredWindows(_ device: TestDevice, _ mappings: Int) throws {
  let client = try clientOfTestDevice(device)
  let memory = try SharedMemory(size: 1 << 20)
  for page: UInt64 in 0..<100 {
    try client.map(memory, at: page << 13, size: 4096, offset: page << 12)
  }
  try client.setTrigger(.intx, EventFD())
  #expect(mappingsOfClients() == mappings + 101)
}

@Suite struct `A device server` {
  @Test func `A device server serves one client after the other and keeps the device state`() throws
  {
    let server = try RunningServer()
    do {
      let client = try Client(connectingTo: server.path)
      try client.store(UInt32(0xCAFE), .bar2, at: 64)
    }
    let next = try connectWhenFree(server.path)
    #expect(try next.load(.bar2, at: 64, as: UInt32.self) == 0xCAFE)
  }

  @Test func `A device server refuses a second client with EBUSY and keeps serving the first`()
    throws
  {
    let server = try RunningServer()
    let first = try Client(connectingTo: server.path)
    #expect(throws: ClientError.refused(.version, .resourceBusy)) {
      try Client(connectingTo: server.path)
    }
    #expect(try first.load(.bar2, at: 0, as: UInt32.self) == 0)
  }

  @Test func `A device server disconnects a second client that sends nothing`() throws {
    let server = try RunningServer()
    let first = try Client(connectingTo: server.path)
    let silent = ScriptedPeer(try MessageSocket(connectingTo: server.path))
    #expect(throws: StreamError.closedByPeer) { try silent.receive() }
    #expect(try first.load(.bar2, at: 0, as: UInt32.self) == 0)
  }

  @Test func `DEVICE_RESET resets registers and configuration space and notifies the device`()
    throws
  {
    let device = TestDevice()
    let client = try clientOfTestDevice(device)
    try client.store(UInt16(0x0007), .configuration, at: 4)
    try client.store(UInt32(1), .bar2, at: 0)
    try client.reset()
    #expect(try client.load(.configuration, at: 4, as: UInt16.self) == 0)
    #expect(try client.load(.bar2, at: 0, as: UInt32.self) == 0)
    #expect(device.state.withLock { $0.resets } == 1)
  }

  @Test func `A device server removes its socket when it stops`() throws {
    let server = try RunningServer()
    server.stop()
    #expect(
      eventually { (try? MessageSocket(connectingTo: server.path)) == nil })
    #expect(throws: SystemCallError(call: "connect", code: .noSuchFileOrDirectory)) {
      try MessageSocket(connectingTo: server.path)
    }
  }

  @Test func `A device server disconnects its client when it stops`() throws {
    let server = try RunningServer()
    let client = try Client(connectingTo: server.path)
    server.stop()
    #expect(throws: ClientError.disconnected(.closedByPeer)) {
      while true { _ = try client.deviceInfo() }
    }
  }

  /// The server needs a moment to see that the client before has gone.
  func connectWhenFree(_ path: FilePath) throws -> Client {
    var client: Client?
    _ = eventually {
      client = try? Client(connectingTo: path)
      return client != nil
    }
    return try #require(client)
  }
}
