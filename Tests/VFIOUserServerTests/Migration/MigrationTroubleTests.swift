import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTesting
import VFIOUserTransport

@testable import VFIOUserServer

@Suite(.timeLimit(.minutes(2))) struct `A migration that does not go smoothly` {
  @Test func `A device that cannot be saved behind PRE_COPY runs on, and is saved later`() throws {
    let (source, target) = (try Machine(memory: 2 << 20), try Machine(memory: 2 << 20))
    try source.client.store(UInt32(0xDEAD), .bar0, at: 0)
    try source.client.setMigrationState(.preCopy)
    let state = try source.readState(piece: 100_000)
    #expect(source.errno { try source.client.setMigrationState(.stopCopy) } == .ioError)
    #expect(try source.client.migrationState() == .preCopy)
    #expect(source.errno { try source.client.store(UInt32(5), .bar0, at: 0) } == nil)
    try source.client.setMigrationState(.stopCopy)
    let rest = try source.readState(piece: 100_000)
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(state + rest)
    try target.client.setMigrationState(.running)
    #expect(try target.client.load(.bar0, at: 0, as: UInt32.self) == 5)
  }

  @Test func `A STOP behind a DMA_UNMAP that waits is served after it, and both are answered`()
    throws
  {
    let machine = try Machine(waitsInSuspend: true, quiesce: .seconds(30))
    let memory = try SharedMemory(size: 1 << 16)
    try machine.client.map(memory, at: 0x10000, size: memory.size)
    try machine.client.enable([.memory, .busMaster])
    var pinned = PinnedSlices()
    try pinned.pin(
      GuestRange(address: 0x10000, count: 16), for: .writing,
      of: machine.device.context.memory.access())
    let isUnmapped = Monitor(false)
    let unmap = try Background {
      try machine.client.unmap(at: 0x10000, size: 1 << 16)
      isUnmapped.update { $0 = true }
    }
    #expect(!unmap.isOver(within: .milliseconds(100)))
    let stop = try Background { try machine.client.setMigrationState(.stop) }
    #expect(!stop.isOver(within: .milliseconds(100)))
    pinned.release()
    #expect(unmap.isOver(within: .seconds(3)))
    #expect(isUnmapped.withLock { $0 })
    #expect(eventually { machine.device.whenDone.withLock { $0 != nil } })
    machine.device.whenDone.withLock { $0 }?()
    #expect(stop.isOver(within: .seconds(5)))
    #expect(try machine.client.migrationState() == .stop)
  }

  @Test(arguments: [false, true], [16, 100] as [UInt32])
  func
    `The reply to a change of the state is the request again, also when the device takes its time`(
      waits: Bool, size: UInt32
    ) throws
  {
    let (device, server) = try plug(Movable.pci()) { try Movable($0, waitsInSuspend: waits) }
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    let peer = ScriptedPeer(mine)
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    // libvfio-user's client sends -1 as the descriptor that vfio-user does not use, and compares.
    let request = words([size, 2 | 1 << 17, DeviceState.stop.rawValue, .max])
    peer.send(message(.deviceFeature, request))
    if waits {
      #expect(eventually { device.whenDone.withLock { $0 != nil } })
      device.whenDone.withLock { $0 }?()
    }
    #expect(try peer.receive().payload == request)
  }

  @Test func `While a large state is loaded, another device of the process answers`() throws {
    let memory: UInt64 = 16 << 20
    let (source, target) = (try Machine(memory: memory), try Machine(memory: memory))
    let other = try Machine()
    let content = [UInt8](repeating: 1, count: 1 << 20)
    for place in stride(from: 0, to: memory, by: 1 << 20) {
      try source.client.write(.bar2, at: place, from: content)
    }
    let state = try source.client.saveState()
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(state)
    let load = try Background { [client = target.client] in
      try client.setMigrationState(.stop, timeout: .seconds(60))
    }
    var answers = 0
    while !load.isOver(within: .zero) {
      _ = try other.client.load(.bar0, at: 0, as: UInt32.self)
      answers += 1
    }
    #expect(answers > 5)
    #expect(try target.client.migrationState() == .stop)
  }

  @Test func `A register of configuration space with a value that a write cannot give is refused`()
    throws
  {
    let configuration = try Machine().device.context.core.configuration
    let control = try #require(
      configuration.registers.registers.first { $0.name == "MSI control" })
    for (vectors, isPossible) in [(2, true), (3, false)] as [(UInt64, Bool)] {
      let record = ConfigurationRecord(registers: [
        .init(offset: control.offset, value: control.reset | vectors << 4)
      ])
      if isPossible {
        _ = try configuration.check(record)
      } else {
        #expect(throws: StateError.self) { try configuration.check(record) }
      }
    }
  }
}
