import Glibc
import ScratchDevice
import Synchronization
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A copy of the scratch device` {
  static let base = Driver.base
  static let megabyte = 1 << 20
  static let bytes = pattern(megabyte)

  @Test(arguments: [true, false], [0, 1, 4096, 65_535, 65_536, 65_537, 1 << 20] as [Int])
  func `A scratch copy moves its byte count, in mapped memory and by messages`(
    isShared: Bool, count: Int
  ) throws {
    let driver = try Driver(Bench().connect(), isShared: isShared)
    let bytes = Array(Self.bytes[..<count])
    driver.memory.write(at: 3, from: bytes)
    let error = try driver.copy(
      Copy(source: Self.base + 3, destination: Self.base + 0x20_0001, count: UInt64(count)))
    #expect(error == 0)
    #expect(driver.has(bytes, at: 0x20_0001))
    #expect(
      driver.memory.read(at: 0x20_0001 + UInt64(count), count: 8) == [0, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test(arguments: [true, false])
  func `A scratch copy works between mapped memory and memory reached by messages`(
    isIntoMapped: Bool
  ) throws {
    let driver = try Driver(Bench().connect())
    let other = try SharedMemory(size: 1 << 20)
    try driver.client.map(other, at: 0x4000_0000, size: other.size, isShared: false)
    let bytes = pattern(100_000)
    (isIntoMapped ? other : driver.memory).write(at: 0, from: bytes)
    let (from, to) =
      isIntoMapped ? (0x4000_0000, Self.base) : (Self.base, 0x4000_0000) as (UInt64, UInt64)
    #expect(try driver.copy(Copy(source: from, destination: to, count: 100_000)) == 0)
    let arrived = (isIntoMapped ? driver.memory : other).read(at: 0, count: 100_000) == bytes
    #expect(arrived)
  }

  @Test(arguments: [-70_000, -1, 1, 70_000] as [Int])
  func `A scratch copy may have an overlapping source and destination`(distance: Int) throws {
    let driver = try Driver(Bench().connect())
    let bytes = Array(Self.bytes[..<200_000])
    driver.memory.write(at: 100_000, from: bytes)
    let target = UInt64(100_000 + distance)
    let error = try driver.copy(
      Copy(source: Self.base + 100_000, destination: Self.base + target, count: 200_000))
    #expect(error == 0)
    #expect(driver.has(bytes, at: target))
  }

  @Test func `A scratch copy can be started by single register writes, posted or not`() throws {
    for posts in [true, false] {
      let driver = try Driver(Bench().connect { $0.postsWrites = posts }, isShared: false)
      driver.memory.write(at: 0, from: pattern(64))
      try driver.client.post(Self.base, .bar0, at: Place.source)
      try driver.client.post(Self.base + 0x1000, .bar0, at: Place.destination)
      try driver.client.post(UInt64(64), .bar0, at: Place.count)
      try driver.client.post(UInt32(0), .bar0, at: Place.doorbell)
      #expect(eventually { (try? driver.client.completed()) == 1 })
      #expect(driver.memory.read(at: 0x1000, count: 64) == pattern(64))
    }
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let copy: Copy
    let error: Int32

    init(
      _ name: String, _ error: Int32, from source: UInt64 = base,
      to destination: UInt64 = base + 0x10_0000, count: UInt64 = 0x10_0000, control: UInt32 = 0
    ) {
      testDescription = name
      copy = Copy(source: source, destination: destination, count: count, control: control)
      self.error = error
    }
  }

  static let bad = [
    Bad("a byte too many", E2BIG, count: 0x10_0001),
    Bad("as many bytes as there are", E2BIG, count: .max),
    Bad("from nowhere", EFAULT, from: 0x8000_0000),
    Bad("to nowhere", EFAULT, to: 0x8000_0000),
    Bad("from a byte before the window", EFAULT, from: base - 1),
    Bad("from where the window ends in the middle", EFAULT, from: base + 0x30_0001),
    Bad("from where it wraps", EINVAL, from: .max - 0xF_FFFE),
    Bad("to where it wraps", EINVAL, to: .max - 0xF_FFFE),
    Bad("up to the last address", EFAULT, from: .max - 0xF_FFFF),
    Bad("with a vector that there is not", EINVAL, control: 0x1_0040),
    Bad("with the last vector of all", EINVAL, control: 0x1_FFFF),
  ]

  @Test(arguments: bad)
  func `An invalid scratch copy reports its errno, moves nothing, and the next one works`(
    _ bad: Bad
  ) throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Self.bytes)
    #expect(try driver.copy(bad.copy) == UInt32(bad.error))
    let untouched = Self.bytes + Array(repeating: 0, count: 3 << 20)
    #expect(driver.has(untouched, at: 0))
    #expect(try driver.client.register(Place.interrupts) == 0)
    let good = Bad("", 0)
    #expect(try driver.copy(good.copy) == 0)
    #expect(driver.has(Self.bytes, at: 0x10_0000))
  }

  @Test func `A scratch copy writes its destination up to the first unmapped address`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Self.bytes)
    let error = try driver.copy(
      Copy(source: Self.base, destination: Self.base + 0x3F_0000, count: 0x2_0000))
    #expect(error == UInt32(EFAULT))
    #expect(driver.has(Array(Self.bytes[..<0x1_0000]), at: 0x3F_0000))
  }

  @Test func `A scratch copy without an interrupt needs no valid vector`() throws {
    let driver = try Driver(Bench().connect())
    let copy = Copy(
      source: Self.base, destination: Self.base + 8, count: 8, control: 0x0000_FFFF)
    #expect(try driver.copy(copy) == 0)
  }

  @Test func `A scratch copy needs the bus master bit`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: pattern(64))
    let copy = Copy(source: Self.base, destination: Self.base + 64, count: 64)
    try driver.client.setBusMaster(false)
    #expect(try driver.copy(copy) == UInt32(EPERM))
    try driver.client.setBusMaster(true)
    #expect(try driver.copy(copy) == 0)
  }

  @Test func `A scratch copy respects the permissions of DMA windows`() throws {
    let driver = try Driver(Bench().connect())
    for (address, flags) in [(0x5000_0000, DMAMapFlags.readable), (0x6000_0000, .writable)]
      as [(UInt64, DMAMapFlags)]
    {
      try driver.client.map(SharedMemory(size: 4096), at: address, size: 4096, flags)
    }
    func error(_ source: UInt64, _ destination: UInt64) throws -> UInt32 {
      try driver.copy(Copy(source: source, destination: destination, count: 64))
    }
    #expect(try error(0x5000_0000, 0x6000_0000) == 0)
    #expect(try error(0x6000_0000, Self.base) == UInt32(EACCES))
    #expect(try error(Self.base, 0x5000_0000) == UInt32(EACCES))
  }

  @Test
  func `A scratch copy is started by the doorbell eventfd only if the control register allows it`()
    throws
  {
    let peer = try Bench().script()
    let request = message(.deviceGetRegionIOFDs, words([4096, 0, 0, 0]))
    peer.send(request)
    var found: EventFD?
    let answer = try peer.receive { descriptors in
      if let descriptor = descriptors.takeFirst() { found = EventFD(adopting: descriptor) }
    }
    let areas = try RegionIOFDsReply(decoding: answer.payload.span).subRegions
    #expect(areas == [SubRegion(kind: .event, offset: 0x2C, size: 4, descriptorIndex: 0)])
    let bell = try #require(found)
    bell.signal()
    #expect(eventually { !EventPoll.isReadable(bell.descriptor.number, for: .zero) })
    #expect(try peer.completed() == 0)
    try peer.write(at: Place.control, words([0x2_0000]))
    bell.signal()
    #expect(eventually { (try? peer.completed()) == 1 })
  }
}

@Suite struct `Queued copies of the scratch device` {
  /// Memory by messages, which the test answers when it likes.
  private func start() throws -> (bench: Bench, peer: ScriptedPeer) {
    let bench = try Bench()
    let peer = try bench.script()
    let map = DMAMap(flags: [.readable, .writable], address: 0x10000, size: 0x10000)
    #expect(try peer.ask(message(.dmaMap, bytes(of: map))).errno == nil)
    try peer.write(.configuration, at: 4, [6, 0])
    return (bench, peer)
  }

  private static let copy = Copy(source: 0x10000, destination: 0x18000, count: 16)

  /// Starts three copies.
  ///
  /// - Returns: the first one's request for memory, unanswered.
  private func ringThrice(_ peer: ScriptedPeer) throws -> ScriptedPeer.Answer {
    try peer.write(at: Place.source, Self.copy.bytes)
    let request = try peer.receive()
    #expect(request.header.command == .dmaRead)
    for _ in 0..<2 { try peer.write(at: Place.doorbell, [1]) }
    return request
  }

  /// Answers the next request for memory.
  private func answer(_ peer: ScriptedPeer, _ command: Command) throws {
    let request = try peer.receive()
    #expect(request.header.command == command)
    let access = Array(request.payload.prefix(16))
    let data = command == .dmaRead ? Array(repeating: UInt8(3), count: 16) : []
    peer.send(message(command, id: request.header.id, flags: .reply, access + data))
  }

  @Test func `Queued scratch copies are executed one after the other, each once`() throws {
    let (_, peer) = try start()
    var first = try ringThrice(peer)
    #expect(try peer.number(at: Place.status) == 3)
    for turn in 0..<3 {
      let access = Array(first.payload.prefix(16))
      peer.send(
        message(
          .dmaRead, id: first.header.id, flags: .reply, access + Array(repeating: 3, count: 16)))
      try answer(peer, .dmaWrite)
      if turn < 2 { first = try peer.receive() }
    }
    #expect(eventually { (try? peer.completed()) == 3 })
    #expect(try peer.number(at: Place.status) == 0)
  }

  @Test func `Queued scratch copies are 64 at most, and one more fails at once with EBUSY`() throws
  {
    let (_, peer) = try start()
    try peer.write(at: Place.source, Self.copy.bytes)
    #expect(try peer.receive().header.command == .dmaRead)
    for _ in 1..<64 { try peer.write(at: Place.doorbell, [1]) }
    #expect(try peer.number(at: Place.status) == 64)
    #expect(try peer.completed() == 0)
    try peer.write(at: Place.doorbell, [1])
    #expect(try peer.completed() == 1)
    #expect(try peer.number(at: Place.error) == UInt32(EBUSY))
    #expect(try peer.number(at: Place.status) == 64)
  }

  @Test func `Queued scratch copies do not complete after a reset`() throws {
    let (_, peer) = try start()
    let request = try ringThrice(peer)
    #expect(try peer.ask(message(.deviceReset)).errno == nil)
    #expect(try peer.number(at: Place.status) == 0)
    try peer.write(.configuration, at: 4, [6, 0])
    try peer.write(at: Place.source, Copy(source: 0x11000, destination: 0, count: 8).bytes)
    peer.send(
      message(
        .dmaRead, id: request.header.id, flags: .reply,
        Array(request.payload.prefix(16)) + Array(repeating: 3, count: 16)))
    // What comes next is about the new copy: neither the old one's write nor the others that waited.
    let next = try peer.receive()
    #expect(next.header.command == .dmaRead)
    #expect(try DMAAccess(decoding: next.payload.span) == DMAAccess(address: 0x11000, count: 8))
    #expect(try peer.completed() == 0)
    #expect(try peer.number(at: Place.status) == 1)
  }

  @Test func `Queued scratch copies of one client do not complete for the next client`() throws {
    let (bench, peer) = try start()
    _ = try ringThrice(peer)
    peer.socket.shutdown()
    let driver = try Driver(bench.connect())
    let eventfd = try EventFD()
    try driver.client.setTrigger(.intx, eventfd)
    #expect(try driver.client.register(Place.status) == 0)
    let copy = Copy(source: Driver.base, destination: Driver.base + 64, count: 64)
    #expect(try driver.copy(copy) == 0)
    #expect(try driver.client.completed() == 1)
    #expect(eventfd.take() == 0)
  }

  @Test func `The doorbell eventfd of a disconnected client starts no scratch copy`() throws {
    let (bench, peer) = try start()
    peer.send(message(.deviceGetRegionIOFDs, words([4096, 0, 0, 0])))
    var found: EventFD?
    _ = try peer.receive { descriptors in
      if let descriptor = descriptors.takeFirst() { found = EventFD(adopting: descriptor) }
    }
    let bell = try #require(found)
    try peer.write(at: Place.control, words([0x2_0000]))
    peer.socket.shutdown()
    let client = try bench.connect()
    #expect(try client.register(Place.control) == 0)
    try client.store(UInt8(1), .bar0, at: Place.control)
    bell.signal()
    #expect(eventually { !EventPoll.isReadable(bell.descriptor.number, for: .zero) })
    #expect(try client.completed() == 0)
    #expect(try client.register(Place.control) == 1)
  }

  @Test func `Resets and departures while the doorbell eventfd is rung leave nothing waiting`()
    throws
  {
    let (bench, first) = try start()
    first.send(message(.deviceGetRegionIOFDs, words([4096, 0, 0, 0])))
    var found: EventFD?
    _ = try first.receive { descriptors in
      if let descriptor = descriptors.takeFirst() { found = EventFD(adopting: descriptor) }
    }
    let bell = try #require(found)
    first.socket.shutdown()
    let isOver = Atomic(false)
    try DetachedThread.start("ringer") { while !isOver.load(ordering: .relaxed) { bell.signal() } }
    defer { isOver.store(true, ordering: .relaxed) }
    for turn in 0..<40 {
      let client = try bench.connect()
      for _ in 0..<50 {
        // A copy that is refused at once, and one that is not, with an interrupt at the end.
        try client.store(UInt64(turn % 2 == 0 ? 2 << 20 : 0), .bar0, at: Place.count)
        try client.store(UInt32(0x3_0000), .bar0, at: Place.control)
        try client.reset()
        #expect(try client.register(Place.status) == 0)
        #expect(try client.register(Place.interrupts) == 0 && !client.level())
      }
      try client.store(UInt32(0x3_0000), .bar0, at: Place.control)
      client.disconnect()
    }
    let last = try bench.connect()
    #expect(try last.register(Place.control) & 0x2_0000 == 0)
    #expect(eventually { (try? last.register(Place.status)) == 0 })
  }

  @Test func `Resets in the middle of a thousand scratch copies do no harm`() throws {
    let driver = try Driver(Bench().connect())
    for turn in 0..<1000 {
      try driver.client.setBusMaster(true)
      let copy = Copy(
        source: Driver.base, destination: Driver.base + 0x20_0000, count: UInt64(turn * 1000),
        control: 0x1_0000)
      try driver.client.write(.bar0, at: Place.source, from: copy.bytes)
      try driver.client.reset()
      #expect(try driver.client.register(Place.status) == 0)
    }
    #expect(try driver.client.completed() == 0)
    try driver.client.setBusMaster(true)
    #expect(
      try driver.copy(Copy(source: Driver.base, destination: Driver.base + 8, count: 8)) == 0)
  }
}
