import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTesting
import VFIOUserTransport

@testable import VFIOUserServer

@Suite(.timeLimit(.minutes(2))) struct `Migration by the protocol` {
  @Test func `A device's registers, configuration, interrupts and memory arrive at the target`()
    throws
  {
    let (source, target) = (try Machine(), try Machine())
    try source.client.enable([.memory, .busMaster])
    try source.client.store(UInt32(0xFEBF_0000), .configuration, at: 0x10)
    try source.client.store(UInt32(0x1234_5678), .bar0, at: 0)
    try source.client.store(UInt32(1), .bar0, at: 4)
    try source.client.write(.bar2, at: 3000, from: [UInt8](repeating: 9, count: 5000))
    try source.client.setMigrationState(.stopCopy)
    let state = try source.readState()
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(state)
    try target.client.setMigrationState(.running)
    #expect(try target.client.load(.bar0, at: 0, as: UInt32.self) == 0x1234_5678)
    #expect(try target.client.load(.configuration, at: 0x10, as: UInt32.self) == 0xFEBF_0000)
    #expect(try target.client.load(.configuration, at: 4, as: UInt16.self) == 0b110)
    let sourceMemory = try source.client.read(.bar2, at: 0, count: 64 << 10)
    #expect(try target.client.read(.bar2, at: 0, count: 64 << 10) == sourceMemory)
    #expect(sourceMemory[3000] == 9)
    // The level is high, and whoever listens hears of it.
    let interrupt = try EventFD()
    try target.client.setTrigger(.intx, interrupt)
    #expect(interrupt.wait(for: .seconds(5)) == 1)
    // And goes low with the register.
    try target.client.store(UInt32(0), .bar0, at: 4)
    #expect(try target.client.load(.configuration, at: 6, as: UInt16.self) & 8 == 0)
    #expect(target.device.calls.withLock { $0 } == ["suspend", "load", "acquire", "resume"])
    #expect(source.device.calls.withLock { $0 } == ["suspend", "save", "release"])
  }

  @Test func `Pending vectors and the MSI-X table arrive, and are delivered when the mask goes`()
    throws
  {
    let (source, target) = (try Machine(), try Machine())
    let msix = try msixOffset(source.client)
    try source.client.store(UInt16(0xC000), .configuration, at: msix + 2)
    source.device.context.interrupts.signal(.msix, vector: 69)
    try source.client.setMigrationState(.stopCopy)
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(source.readState())
    try target.client.setMigrationState(.running)
    let vector = try EventFD()
    try target.client.setTrigger(.msix, vector: 69, vector)
    #expect(vector.wait(for: .milliseconds(20)) == nil)
    try target.client.store(UInt16(0x8000), .configuration, at: msix + 2)
    #expect(vector.wait(for: .seconds(5)) == 1)
  }

  /// Whether it reaches the guest is decided by the VMM, as with an eventfd that is set: it knows the bit too.
  @Test(arguments: [true, false])
  func
    `A vector that is signalled while bus master is off is pending at the target, and comes once`(
      isArmedBefore: Bool
    ) throws
  {
    let (source, target) = (try Machine(), try Machine())
    let msix = try msixOffset(source.client)
    try source.client.store(UInt16(0x8000), .configuration, at: msix + 2)
    #expect(try source.client.load(.configuration, at: 4, as: UInt16.self) & 4 == 0)
    source.device.context.interrupts.signal(.msix, vector: 3)
    source.device.context.interrupts.signal(.msix, vector: 3)
    let vector = try EventFD()
    if isArmedBefore { try target.client.setTrigger(.msix, vector: 3, vector) }
    try target.client.loadState(source.client.saveState())
    if !isArmedBefore { try target.client.setTrigger(.msix, vector: 3, vector) }
    #expect(vector.wait(for: .seconds(5)) == 1)
    try target.client.setMigrationState(.stop)
    try target.client.setMigrationState(.running)
    #expect(vector.wait(for: .milliseconds(50)) == nil)
    target.device.context.interrupts.signal(.msix, vector: 3)
    #expect(vector.wait(for: .seconds(5)) == 1)
  }

  @Test
  func `A device that is not running refuses its regions, and answers for configuration space`()
    throws
  {
    let machine = try Machine()
    try machine.client.setMigrationState(.stop)
    for body in [
      { _ = try machine.client.load(.bar0, at: 0, as: UInt32.self) },
      { try machine.client.store(UInt32(1), .bar0, at: 0) },
      { try machine.client.store(UInt32(1), .bar2, at: 0) },
    ] as [() throws -> Void] { #expect(machine.errno(body) == .resourceBusy) }
    // As libvfio-user's client does, to compare.
    #expect(try machine.client.load(.bar2, at: 0, as: UInt32.self) == 0)
    #expect(try machine.client.load(.configuration, at: 0, as: UInt16.self) == 0x1234)
    try machine.client.setMigrationState(.running)
    try machine.client.store(UInt32(1), .bar0, at: 0)
    #expect(machine.device.calls.withLock { $0 } == ["suspend", "acquire", "resume"])
  }

  @Test func `Data are read and written only in the states for it`() throws {
    let machine = try Machine()
    for state in [.running, .stop] as [DeviceState] {
      try machine.client.setMigrationState(state)
      #expect(machine.errno { _ = try machine.client.readMigrationData(8) } == .invalidArgument)
      #expect(machine.errno { try machine.client.writeMigrationData([1]) } == .invalidArgument)
    }
    try machine.client.setMigrationState(.stopCopy)
    #expect(machine.errno { try machine.client.writeMigrationData([1]) } == .invalidArgument)
    try machine.client.setMigrationState(.resuming)
    #expect(machine.errno { _ = try machine.client.readMigrationData(8) } == .invalidArgument)
  }

  @Test func `A state that is read once more begins anew`() throws {
    let machine = try Machine()
    try machine.client.setMigrationState(.stopCopy)
    let first = try machine.readState(piece: 7)
    try machine.client.setMigrationState(.stop)
    try machine.client.setMigrationState(.stopCopy)
    #expect(try machine.readState() == first)
    #expect(try machine.client.readMigrationData(8) == [])
  }

  @Test func `What is no state leads to ERROR, which a reset ends`() throws {
    let machine = try Machine()
    try machine.client.store(UInt32(5), .bar0, at: 0)
    try machine.client.setMigrationState(.resuming)
    try machine.client.writeMigrationData([1, 2, 3])
    #expect(machine.errno { try machine.client.setMigrationState(.running) } == .invalidArgument)
    #expect(try machine.client.migrationState() == .error)
    for state in [.running, .stop, .stopCopy, .resuming] as [DeviceState] {
      #expect(machine.errno { try machine.client.setMigrationState(state) } == .invalidArgument)
    }
    #expect(
      machine.errno { _ = try machine.client.load(.bar0, at: 0, as: UInt32.self) } == .resourceBusy)
    try machine.client.reset()
    #expect(try machine.isRunning())
    #expect(try machine.client.load(.bar0, at: 0, as: UInt32.self) == 0)
  }

  @Test func `A state that the device refuses leads to ERROR`() throws {
    let (source, target) = (try Machine(), try Machine())
    try source.client.store(UInt32(0xBAD), .bar0, at: 0)
    try source.client.setMigrationState(.stopCopy)
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(source.readState())
    #expect(target.errno { try target.client.setMigrationState(.stop) } == .invalidArgument)
    #expect(try target.client.migrationState() == .error)
  }

  @Test func `A state of a device with other regions is refused`() throws {
    let (source, target) = (try Machine(memory: 128 << 10), try Machine())
    try source.client.setMigrationState(.stopCopy)
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(source.readState())
    #expect(target.errno { try target.client.setMigrationState(.stop) } == .invalidArgument)
  }

  @Test func `A target takes no more bytes than a state can have`() throws {
    let target = try Machine()
    try target.client.setMigrationState(.resuming)
    let piece = [UInt8](repeating: 0, count: 1 << 20)
    let refusal = target.errno { for _ in 0..<200 { try target.client.writeMigrationData(piece) } }
    #expect(refusal == .fileTooLarge)
  }

  @Test func `A state that is cut, or changed in one byte, is refused everywhere`() throws {
    let source = try Machine()
    try source.client.store(UInt32(1), .bar2, at: 0)
    try source.client.setMigrationState(.stopCopy)
    let state = try source.readState()
    let target = try Machine()
    for place in stride(from: 0, to: state.count, by: 97) {
      var changed = state
      changed[place] ^= 0x10
      for bytes in [changed, Array(state[..<place])] {
        try target.client.setMigrationState(.resuming)
        try target.client.writeMigrationData(bytes)
        #expect(target.errno { try target.client.setMigrationState(.stop) } == .invalidArgument)
        try target.client.reset()
      }
    }
    #expect(try target.isRunning())
  }

  @Test func `A state with a section that nobody knows, or without one, is refused`() throws {
    let machine = try Machine()
    let device = machine.device
    let transfer = DeviceStateTransfer(core: device.context.core, device: device)
    for change in ["twice", "more", "less"] {
      var writer = try StateWriter(limit: 1 << 24)
      if change == "more" { try writer.add("later", 1) }
      if change == "twice" { try writer.add("dma", ["isAllowed": true]) }
      if change == "less" { try writer.end() } else { try transfer.save(into: &writer) }
      let state = try writer.file.bytes(at: 0, count: Int(writer.file.size))
      try machine.client.setMigrationState(.resuming)
      try machine.client.writeMigrationData(state)
      #expect(machine.errno { try machine.client.setMigrationState(.stop) } == .invalidArgument)
      try machine.client.reset()
    }
  }

  @Test func `A device that is saved runs on for the next client`() throws {
    let machine = try Machine()
    try machine.client.store(UInt32(5), .bar0, at: 0)
    try machine.client.setMigrationState(.stopCopy)
    machine.client.disconnect()
    let next = try machine.server.connect()
    #expect(try next.migrationState() == .running)
    #expect(try next.load(.bar0, at: 0, as: UInt32.self) == 5)
  }

  @Test func `A device that is half loaded is as after a reset for the next client`() throws {
    let machine = try Machine()
    try machine.client.store(UInt32(5), .bar0, at: 0)
    try machine.client.setMigrationState(.resuming)
    try machine.client.writeMigrationData([1, 2, 3])
    machine.client.disconnect()
    let next = try machine.server.connect()
    #expect(try next.migrationState() == .running)
    #expect(try next.load(.bar0, at: 0, as: UInt32.self) == 0)
    try next.store(UInt32(1), .bar0, at: 0)
  }

  @Test func `STOP waits for the device and for its work, and everything behind STOP waits too`()
    throws
  {
    let machine = try Machine(waitsInSuspend: true, quiesce: .seconds(30))
    try machine.client.enable([.memory, .busMaster])
    machine.device.gate.update { $0 = false }
    try machine.client.store(UInt32(0), .bar0, at: 0x800)
    let stop = try Background { try machine.client.setMigrationState(.stop) }
    let done = machine.device.whenDone.withLock(when: { $0 != nil }, before: .after(.seconds(10))) {
      $0
    }
    let endSuspension = try #require(done ?? nil)
    endSuspension()
    #expect(!stop.isOver(within: .milliseconds(50)))
    machine.device.gate.update { $0 = true }
    #expect(stop.isOver(within: .seconds(10)))
    #expect(try machine.client.migrationState() == .stop)
    #expect(machine.device.registers.value(at: 8) == 1)
    // Work that comes now waits.
    try machine.device.context.afterReply { [device = machine.device] _ in
      device.registers.update(at: 8) { $0 = 99 }
    }
    #expect(!eventually(within: .milliseconds(50)) { machine.device.registers.value(at: 8) == 99 })
    try machine.client.setMigrationState(.running)
    #expect(eventually { machine.device.registers.value(at: 8) == 99 })
  }

  @Test func `A device that does not come to rest in time runs on, and its client hears EBUSY`()
    throws
  {
    let machine = try Machine(waitsInSuspend: true, quiesce: .milliseconds(50))
    #expect(machine.errno { try machine.client.setMigrationState(.stopCopy) } == .resourceBusy)
    #expect(try machine.isRunning())
    try machine.client.store(UInt32(5), .bar0, at: 0)
    // What comes late concerns nobody.
    machine.device.whenDone.withLock { $0 }?()
    try machine.client.store(UInt32(6), .bar0, at: 0)
    #expect(machine.device.calls.withLock { $0 } == ["suspend", "resume"])
  }

  @Test func `A client that leaves while the device comes to rest lets it run on`() throws {
    let machine = try Machine(waitsInSuspend: true, quiesce: .seconds(30))
    let stop = try Background { try machine.client.setMigrationState(.stop) }
    _ = machine.device.whenDone.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { _ in }
    machine.client.disconnect()
    #expect(stop.isOver(within: .seconds(10)))
    let next = try machine.server.connect()
    #expect(try next.migrationState() == .running)
    try next.store(UInt32(5), .bar0, at: 0)
    #expect(machine.device.calls.withLock { $0 } == ["suspend", "acquire", "resume"])
  }

  @Test func `Memory that changes after it was sent in advance arrives as it is at the end`() throws
  {
    let (source, target) = (try Machine(memory: 2 << 20), try Machine(memory: 2 << 20))
    #expect(try source.client.migrationFlags() == [.stopCopy, .preCopy])
    let memory = try #require(source.device.context.memory(of: .bar2))
    for page in stride(from: 0, to: 2 << 20, by: 8192) as StrideTo<UInt64> {
      try memory.store(page + 1, at: page)
    }
    try source.client.setMigrationState(.preCopy)
    var state = try source.readState(piece: 100_000)
    let inAdvance = state.count
    #expect(inAdvance > 1 << 20)
    // The device runs: one page becomes zero, one gets another number.
    try source.client.store(UInt64(0), .bar2, at: 8192)
    try source.client.store(UInt64(77), .bar2, at: 4096)
    try source.client.setMigrationState(.stopCopy)
    state += try source.readState(piece: 100_000)
    #expect(state.count - inAdvance < 20_000)
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(state)
    try target.client.setMigrationState(.running)
    let arrived = try #require(target.device.context.memory(of: .bar2))
    #expect(try arrived.read(at: 0, count: 2 << 20) == memory.read(at: 0, count: 2 << 20))
    #expect(try arrived.load(at: 4096, as: UInt64.self) == 77)
  }

  @Test func `A device with little memory offers no PRE_COPY`() throws {
    let machine = try Machine()
    #expect(try machine.client.migrationFlags() == .stopCopy)
    #expect(machine.errno { try machine.client.setMigrationState(.preCopy) } == .invalidArgument)
  }

  @Test func `A device that cannot be saved offers nothing of it`() throws {
    let server = try DeviceServer(ContextDevice.pci) { try ContextDevice($0) }
    let client = try server.connect()
    #expect(throws: ClientError.refused(.deviceFeature, .notSupported)) {
      try client.migrationFlags()
    }
    #expect(throws: ClientError.refused(.deviceFeature, .notSupported)) {
      try client.startDMALogging(pageSize: 4096)
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct `The log of dirty pages by the protocol` {
  private func machine() throws -> (machine: Machine, memory: SharedMemory) {
    let machine = try Machine()
    let memory = try SharedMemory(size: 1 << 20)
    try machine.client.map(memory, at: 0x10000, size: memory.size)
    try machine.client.enable([.memory, .busMaster])
    return (machine, memory)
  }

  private func write(_ machine: Machine, at offset: UInt32) throws {
    let before = machine.device.registers.value(at: 8) ?? 0
    try machine.client.store(offset, .bar0, at: 0x800)
    #expect(eventually { machine.device.registers.value(at: 8) == before + 1 })
  }

  @Test
  func `What the device writes is reported once, also into a window that came after the start`()
    throws
  {
    let (machine, _) = try machine()
    try write(machine, at: 0)
    #expect(try machine.client.startDMALogging(pageSize: 4096) == 4096)
    let later = try SharedMemory(size: 1 << 20)
    try machine.client.map(later, at: 0x20_0000, size: later.size)
    try write(machine, at: 0x1800)
    try write(machine, at: 0x1F_0000)
    let range = DMALoggingRange(address: 0x10000, length: 0x2F_0000)
    let first = try machine.client.dirtyPages(range, pageSize: 4096)
    #expect((0..<0x2F0).filter { first[$0 / 8] >> UInt8($0 % 8) & 1 != 0 } == [1, 0x1F0])
    #expect(try machine.client.dirtyPages(range, pageSize: 4096).allSatisfy { $0 == 0 })
    try machine.client.stopDMALogging()
    #expect(
      machine.errno { _ = try machine.client.dirtyPages(range, pageSize: 4096) } == .invalidArgument
    )
  }

  @Test func `A log is on once, and ends with its client`() throws {
    let (machine, _) = try machine()
    try machine.client.startDMALogging(pageSize: 4096)
    #expect(
      machine.errno { try machine.client.startDMALogging(pageSize: 4096) } == .invalidArgument)
    machine.client.disconnect()
    let next = try machine.server.connect()
    try next.startDMALogging(pageSize: 8192)
  }

  @Test func `Memory that is reached by messages has no dirty pages`() throws {
    let machine = try Machine()
    let memory = try SharedMemory(size: 1 << 16)
    try machine.client.map(memory, at: 0x10000, size: memory.size, isShared: false)
    try machine.client.enable([.memory, .busMaster])
    try machine.client.startDMALogging(pageSize: 4096)
    try write(machine, at: 0)
    #expect(memory.read(at: 0, count: 1) == [7])
    let bits = try machine.client.dirtyPages(
      DMALoggingRange(address: 0x10000, length: 1 << 16), pageSize: 4096)
    #expect(bits.allSatisfy { $0 == 0 })
  }
}

/// A body on a thread of its own.
final class Background: Sendable {
  private let over = Monitor(false)

  init(_ body: @escaping @Sendable () throws -> Void) throws {
    let over = over
    try DetachedThread.start("background") {
      try? body()
      over.update { $0 = true }
    }
  }

  func isOver(within time: Duration) -> Bool {
    over.withLock(when: { $0 }, before: .after(time)) { $0 } ?? false
  }
}

/// Where the MSI-X capability is.
private func msixOffset(_ client: Client) throws -> UInt64 {
  var offset = UInt64(try client.load(.configuration, at: 0x34, as: UInt8.self))
  while offset != 0, try client.load(.configuration, at: offset, as: UInt8.self) != 0x11 {
    offset = UInt64(try client.load(.configuration, at: offset + 1, as: UInt8.self))
  }
  try #require(offset != 0)
  return offset
}
