import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A client takes back what the device is using; nothing here ends by the passing of time unless it says so.
@Suite struct `A DMA_UNMAP of memory in use` {
  typealias Client = ServedClient

  @Test(arguments: Driver.allCases)
  func `DMA_UNMAP of memory in use is answered at its release, other commands before that`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver)
    try client.pin()
    client.send(Client.unmap(id: 10), Client.read(id: 11), message(.deviceReset, id: 12))
    #expect(try client.next(2) == [[11, nil], [12, nil]])
    #expect(try client.device.bus.memory.windowCount == 1)
    client.holder.release()
    #expect(try client.next(1) == [[10, nil]])
    #expect(try client.device.bus.memory.windowCount == 0)
  }

  @Test(arguments: Driver.allCases)
  func `DMA_UNMAP calls quiesce once and is answered at once if quiesce releases the memory`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver)
    try client.pin()
    client.device.state.withLock { [holder = client.holder] in $0.onQuiesce = { holder.release() } }
    client.send(Client.unmap(id: 10), Client.read(id: 11))
    #expect(try client.next(2) == [[10, nil], [11, nil]])
    #expect(
      client.device.state.withLock { $0.quiesced }
        == [[GuestRange(address: Client.base, count: Client.size)]])
  }

  @Test(arguments: Driver.allCases)
  func `A pending DMA_UNMAP holds back later map changes and all commands behind them`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver)
    try client.pin()
    client.send(
      Client.unmap(id: 10), Client.read(id: 11), Client.map(Client.base, 0x1000, id: 12),
      Client.read(id: 13), Client.unmap(id: 14), Client.read(id: 15))
    #expect(try client.next(1) == [[11, nil]])
    client.holder.release()
    let missing = UInt32(Errno.noSuchFileOrDirectory.rawValue)
    #expect(
      try client.next(5) == [[10, nil], [12, nil], [13, nil], [14, missing], [15, nil]])
  }

  @Test(arguments: Driver.allCases)
  func `A pending DMA_UNMAP fails with EBUSY at its deadline and parked commands are served`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver) { $0.quiesceTimeout = .milliseconds(20) }
    try client.pin()
    client.send(Client.unmap(id: 10), Client.map(0x8000_0000, 0x1000, id: 11), Client.read(id: 12))
    let busy = UInt32(Errno.resourceBusy.rawValue)
    #expect(try client.next(3) == [[10, busy], [11, nil], [12, nil]])
    // It stays, and can be used and taken back.
    #expect(try client.device.bus.memory.access().load(at: Client.base) == 0 as UInt8)
    client.holder.release()
    client.send(Client.unmap(id: 13))
    #expect(try client.next(1) == [[13, nil]])
  }

  @Test(arguments: Driver.allCases)
  func `A pending DMA_UNMAP with the no-reply flag completes without a reply`(_ driver: Driver)
    throws
  {
    let client = try Client(driver)
    try client.pin()
    let windows = Monitor(-1)
    client.device.state.withLock { state in
      state.onWrite = { bus in windows.update { $0 = bus.memory.windowCount } }
    }
    let write = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 1)) + [1]
    client.send(
      Client.unmap(id: 10, flags: .noReply), message(.regionWrite, id: 11, write),
      Client.map(Client.base, 0x1000, id: 12))
    #expect(eventually { client.device.state.withLock { !$0.quiesced.isEmpty } })
    client.holder.release()
    #expect(try client.next(2) == [[11, nil], [12, nil]])
    // A reply to a later command says that it has happened, so that command has to come behind it.
    #expect(windows.withLock { $0 } == 0)
  }

  @Test(arguments: Driver.allCases)
  func `Two DMA_UNMAP commands for all windows wait in order for the windows in use`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver)
    client.send(Client.map(0x8000_0000, 0x1000, id: 2))
    #expect(try client.next(1) == [[2, nil]])
    try client.pin()
    let all = message(.dmaUnmap, id: 10, bytes(of: DMAUnmap(address: 0, size: 0, flags: .all)))
    client.send(all, message(.dmaUnmap, id: 11, Array(all[16...])), Client.read(id: 12))
    client.holder.release()
    #expect(try client.next(3) == [[10, nil], [11, nil], [12, nil]])
    #expect(try client.device.bus.memory.windowCount == 0)
  }

  @Test(arguments: Driver.allCases)
  func `A pending DMA_UNMAP does not hold back a DMA_READ reply that the device waits for`(
    _ driver: Driver
  ) throws {
    let client = try Client(driver)
    client.send(Client.map(0x8000_0000, 0x1000, id: 2))
    #expect(try client.next(1) == [[2, nil]])
    try client.pin()
    let transfer = try client.device.bus.memory.access()
    let outcome = try Outcome { () throws(MemoryError) in
      try transfer.read(at: 0x8000_0000, count: 4)
    }
    let request = try client.peer.receive()
    #expect(request.header.command == .dmaRead)
    // What is parked stands in front of the reply.
    client.send(Client.unmap(id: 10), Client.map(Client.base, 0x1000, id: 11))
    client.send(
      message(.dmaRead, id: request.header.id, flags: .reply, request.payload + [1, 2, 3, 4]))
    #expect(try outcome.get() == [1, 2, 3, 4])
    client.holder.release()
    #expect(try client.next(2) == [[10, nil], [11, nil]])
  }

  @Test(arguments: Driver.allCases, [63, 64, 65, 200])
  func `A pending DMA_UNMAP may be followed by any number of commands`(_ driver: Driver, count: Int)
    throws
  {
    let client = try Client(driver)
    try client.pin()
    client.send(Client.unmap(id: 10))
    for number in 0..<count {
      client.send(Client.map(0x8000_0000 + UInt64(number) << 12, 0x1000, id: UInt16(100 + number)))
    }
    #expect(
      eventually { (try? client.device.bus.memory.access().load(at: Client.base) as UInt8) == nil })
    let before = client.loop?.turns ?? 0
    client.holder.release()
    let expected = [[10, nil]] + (0..<count).map { [UInt32(100 + $0), nil] }
    #expect(try client.next(count + 1) == expected)
    // While it could take no more, it was not woken for more.
    #expect((client.loop?.turns ?? 0) - before < 10 * count + 100)
    #expect(try client.device.bus.memory.windowCount == count)
  }

  /// The count of what waits has to fall again: else nothing more is received, for good.
  @Test(arguments: Driver.allCases)
  func `A pending DMA_UNMAP parks commands with descriptors again and again`(_ driver: Driver)
    throws
  {
    let client = try Client(driver)
    for round in 0..<4 as Range<UInt16> {
      client.send(Client.map(0x10_0000_0000, 0x1000, id: 1))
      #expect(try client.next(1) == [[1, nil]])
      try client.pin()
      client.send(Client.unmap(id: 10))
      for number in 0..<40 as Range<UInt16> {
        var descriptors = DescriptorList()
        descriptors.append(try TruncatableMemory(size: 0x1000).lent())
        let address = 0x20_0000_0000 + UInt64(number) << 16
        client.peer.send(
          Client.map(address, 0x1000, id: 100 + number), descriptors: descriptors)
      }
      // Released earlier, it would let nothing be parked.
      #expect(client.allIsReceived(), "in round \(round)")
      client.holder.release()
      #expect(try client.next(1) == [[10, nil]])
      #expect(try client.next(40) == (0..<40).map { [100 + $0, nil] }, "in round \(round)")
      let all = message(.dmaUnmap, id: 11, bytes(of: DMAUnmap(address: 0, size: 0, flags: .all)))
      client.send(all)
      #expect(try client.next(1) == [[11, nil]])
      try client.lend(id: 12)
    }
  }

  @Test
  func `A polled server with a full queue behind DMA_UNMAP notices that its client disconnects`()
    throws
  {
    let device = CallbackDevice()
    let holder = Holder()
    device.state.withLock { state in
      state.onWrite = { bus in
        try? holder.pin(
          GuestRange(address: Client.base, count: 16), for: .reading, of: bus.memory.access())
      }
    }
    var options = ServerOptions()
    options.quiesceTimeout = .seconds(600)
    let path = socketPath()
    let server = try PolledServer(
      DeviceServer(device, options), on: ListeningSocket(path: path))
    defer { server.stop() }
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    peer.send(Client.version)
    var descriptors = DescriptorList()
    descriptors.append(try TruncatableMemory(size: Client.size).lent())
    peer.send(Client.map(Client.base, Client.size, id: 1), descriptors: descriptors)
    let write = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 1)) + [1]
    peer.send(message(.regionWrite, id: 2, write) + Client.unmap(id: 10))
    for number in 0..<64 { peer.send(Client.map(0, 0x1000, id: UInt16(100 + number))) }
    #expect(EventPoll.isReadable(server.descriptor, for: .seconds(10)))
    try server.process()
    #expect(device.state.withLock { $0.quiesced.count } == 1)
    #expect(server.hasClient && !EventPoll.isReadable(server.descriptor, for: .zero))
    peer.socket.shutdown()
    #expect(EventPoll.isReadable(server.descriptor, for: .seconds(10)))
    try server.process()
    #expect(!server.hasClient)
    holder.release()
  }

  @Test(arguments: Driver.allCases, [1, 200])
  func `A pending DMA_UNMAP ends when its client disconnects`(_ driver: Driver, count: Int) throws {
    let client = try Client(driver)
    try client.pin()
    client.send(Client.unmap(id: 10))
    for number in 0..<count { client.send(Client.map(0, 0x1000, id: UInt16(number))) }
    client.send(Client.read(id: 7))
    #expect(eventually { client.device.state.withLock { !$0.quiesced.isEmpty } })
    client.peer.socket.shutdown()
    #expect(eventually { client.device.state.withLock { $0.departures } == 1 })
    client.holder.release()
  }
}
