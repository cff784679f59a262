import Logging
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A device that does to the client's memory what the client tells it, so that a hostile one can tell it
/// at bad moments.
///
/// Each command is a write of eight bytes to BAR0: an address, or a vector.
final class Victim: PluggedDevice {
  enum Order: UInt64 {
    /// Loads eight bytes in the callback; fails with the errno of the access.
    case load = 0x10
    /// Copies 64 KiB, and back, after the reply.
    case copy = 0x20
    /// Holds 4 KiB until the client leaves.
    case hold = 0x30
    /// Stays in the callback until the gate is open.
    case wait = 0x40
    /// Sends a vector of MSI-X.
    case vector = 0x50
    /// Raises the pin.
    case raise = 0x60
  }

  struct State {
    var bus: DeviceContext?
    var held: [Holder] = []
    var isGateOpen = false
    var isWaiting = false
    var copies = 0
    var resets = 0
    var departures = 0
    var writes = 0
  }

  let state = Monitor(State())
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5678,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096),
      2: BaseAddressRegister(.memory32(prefetchable: true), size: 64 << 10, backing: .memory()),
    ],
    hasInterruptPin: true, expansionROM: [1, 2, 3],
    capabilities: [
      .powerManagement(PowerManagement(noSoftReset: false)), .express(Express()),
      .msi(MSI(vectors: 4, perVectorMasking: true)), .msix(MSIX(vectors: 16, bar: 4)),
    ],
    ioEventAreas: [IOEventArea("bell", in: .bar0, at: 0x800)])

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    state.withLock { $0.writes += 1 }
    guard let bus = state.withLock({ $0.bus }), bytes.count == 8,
      let order = Order(rawValue: access.offset)
    else { return }
    try carryOut(order, bytes.indices.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }, bus)
  }

  private func carryOut(_ order: Order, _ number: UInt64, _ bus: DeviceContext) throws(Errno) {
    do throws(MemoryError) {
      switch order {
      case .load: _ = try bus.memory.access().load(at: number) as UInt64
      case .copy: try perform(number, bus)
      case .hold:
        let held = Holder()
        try held.pin(
          GuestRange(address: number, count: 4096), for: .writing, of: bus.memory.access())
        state.withLock { $0.held.append(held) }
      case .wait:
        state.update { $0.isWaiting = true }
        _ = state.withLock(when: { $0.isGateOpen }, before: .after(.seconds(5))) { _ in }
        state.update { $0.isWaiting = false }
      case .vector: bus.interrupts.signal(.msix, vector: Int(truncatingIfNeeded: number))
      case .raise: bus.interrupts.setLevel(true)
      }
    } catch {
      throw error.errno
    }
  }

  private func perform(_ address: UInt64, _ bus: DeviceContext) throws(MemoryError) {
    do throws(Errno) {
      try bus.afterReply { transfer in
        if let bytes = try? transfer.read(at: address, count: 64 << 10) {
          try? transfer.write(at: address, from: bytes)
        }
        bus.interrupts.signal(.msix, vector: 1, for: transfer)
        self.state.update { $0.copies += 1 }
      }
    } catch {
      throw .refused(error)
    }
  }

  func reset() { state.update { $0.resets += 1 } }

  func clientLeft() {
    state.withLock { $0.bus }?.interrupts.setLevel(false)
    state.update { state in
      state.held = []
      state.departures += 1
    }
  }
}

/// One process with a device that is attacked and a neighbour that must not notice.
final class HostileBench {
  let victim = Victim()
  private let server: DeviceServer
  private let neighbour: ScriptedPeer
  private var memoryOfNeighbour: TruncatableMemory
  private let watch: Watch
  /// Connections whose thread has not ended.
  private let served = Monitor(0)
  /// What both devices' servers have logged.
  let log = LogRecord()

  /// A second neighbour, who asks its device all the time how long it takes to answer.
  private final class Watch: Sendable {
    let worst = Atomic<UInt64>(0)
    let answers = Atomic(0)
    let isOver = Atomic(false)
    /// A machine under load takes long at times; whoever is held up by a hostile client waits for longer.
    static let limit: UInt64 = 2_000_000_000

    func run(_ peer: ScriptedPeer) {
      while !isOver.load(ordering: .relaxed) {
        let start = Deadline.now
        guard (try? peer.ask(message(.deviceGetInfo, words([16, 0, 0, 0]))))?.errno == nil else {
          break
        }
        worst.max(Deadline.now - start, ordering: .relaxed)
        answers.add(1, ordering: .relaxed)
        _ = eventually(within: .milliseconds(5)) { false }
      }
    }
  }

  init() throws {
    var options = ServerOptions()
    options.messageTimeout = .milliseconds(300)
    options.negotiationTimeout = .milliseconds(300)
    options.dmaTimeout = .milliseconds(300)
    options.quiesceTimeout = .milliseconds(30)
    options.maxDMAWindows = 64
    options.logger = log.logger(.notice)
    server = try DeviceServer(victim, options, features: DirtyPages.features)
    neighbour = try VFIOUserServerTests.connect(to: Victim())
    memoryOfNeighbour = try TruncatableMemory(size: 0x10000)
    let watch = Watch()
    self.watch = watch
    let socket = try VFIOUserServerTests.connect(to: Victim()).socket
    try DetachedThread.start("watch") { watch.run(ScriptedPeer(socket)) }
    try HostileBench.map(neighbour, memoryOfNeighbour)
  }

  deinit {
    watch.isOver.store(true, ordering: .relaxed)
    victim.state.withLock { $0.bus = nil }
  }

  /// A new connection, as soon as the one before is gone; the device is armed when it is negotiated.
  func connect(negotiated: Bool = true) throws -> ScriptedPeer {
    let server = server
    let served = served
    // Not only `hasClient`: a thread that has not begun yet would take the place later.
    guard eventually({ served.withLock { $0 == 0 } && !server.hasClient }) else {
      throw Missing()
    }
    let (mine, theirs) = try MessageSocket.pair()
    served.update { $0 += 1 }
    try DetachedThread.start("server") {
      server.serve(theirs)
      served.update { $0 -= 1 }
    }
    let peer = ScriptedPeer(mine)
    if negotiated {
      guard try peer.ask(ScriptedPeer.versionOfQEMU).errno == nil,
        try peer.ask(message(.deviceReset)).errno == nil
      else { throw Missing() }
    }
    return peer
  }

  /// 64 KiB at 0x10000.
  static func map(
    _ peer: ScriptedPeer, _ memory: TruncatableMemory, at address: UInt64 = 0x10000
  ) throws {
    var descriptors = DescriptorList()
    descriptors.append(try memory.lent())
    let map = DMAMap(flags: [.readable, .writable], address: address, size: 0x10000)
    #expect(try peer.ask(message(.dmaMap, bytes(of: map)), descriptors: descriptors).errno == nil)
  }

  static func order(_ order: Victim.Order, _ number: UInt64, flags: MessageFlags = []) -> [UInt8] {
    message(
      .regionWrite, flags: flags,
      bytes(of: RegionAccess(offset: order.rawValue, region: .bar0, count: 8)) + longs(number))
  }

  /// What the neighbour and the next client see of it all: nothing.
  func checkThatAllIsWell() throws {
    #expect(try neighbour.ask(Self.order(.load, 0x10000)).errno == nil)
    #expect(try neighbour.ask(Self.order(.load, 0x20000)).errno != nil)
    let server = server
    #expect(eventually { !server.hasClient })
    let next = try connect()
    defer { next.socket.shutdown() }
    let info = try next.ask(message(.deviceGetInfo, id: 9, words([16, 0, 0, 0])))
    #expect(info.header.id == 9)
    #expect(info.payload == words([16, 3, 9, 5]))
    #expect(try next.ask(message(.deviceReset)).errno == nil)
    try Self.map(next, memoryOfNeighbour)
    #expect(try next.ask(Self.order(.load, 0x10000)).errno == nil)
    checkWatch()
  }

  private func checkWatch() {
    let answers = watch.answers.load(ordering: .relaxed)
    #expect(eventually { watch.answers.load(ordering: .relaxed) > answers + 1 })
    #expect(watch.worst.load(ordering: .relaxed) < Watch.limit)
  }
}

/// What a hostile client does, and what is expected of the server meanwhile.
struct Hostility: CustomTestStringConvertible, Sendable {
  let testDescription: String
  /// The defect of other servers that it aims at.
  let defect: Defect?
  let attack: @Sendable (HostileBench) throws -> Void

  init(
    _ name: String, _ defect: Defect? = nil,
    _ attack: @escaping @Sendable (HostileBench) throws -> Void
  ) {
    testDescription = defect.map { "\($0.rawValue): \(name)" } ?? name
    self.defect = defect
    self.attack = attack
  }

  /// Messages that are refused one by one with `EINVAL`, the stream in step behind each.
  init(
    _ name: String, _ defect: Defect? = nil, refused errno: Errno = .invalidArgument,
    _ messages: @escaping @Sendable () -> [[UInt8]]
  ) {
    self.init(name, defect) { bench in
      let peer = try bench.connect()
      for message in messages() {
        #expect(try peer.ask(message).errno == UInt32(errno.rawValue))
      }
      try peer.checkStep()
      peer.socket.shutdown()
    }
  }

  /// First messages that are refused, or agreed to as far as they make sense.
  static func surviving(
    _ name: String, _ defect: Defect? = nil, _ messages: @escaping @Sendable () -> [[UInt8]]
  ) -> Hostility {
    Hostility(name, defect) { bench in
      for message in messages() {
        let peer = try bench.connect(negotiated: false)
        if try peer.ask(message).errno == nil { try peer.checkStep() }
        peer.socket.shutdown()
      }
    }
  }

  /// First messages after which the connection is closed.
  static func closing(
    _ name: String, _ defect: Defect? = nil, _ messages: @escaping @Sendable () -> [[UInt8]]
  ) -> Hostility {
    Hostility(name, defect) { bench in
      for message in messages() {
        let peer = try bench.connect(negotiated: false)
        peer.send(message)
        try peer.expectClosing()
      }
    }
  }
}

extension ScriptedPeer {
  /// Shows that the stream is in step: the next answer belongs to the next question.
  func checkStep() throws {
    let answer = try ask(message(.deviceGetInfo, id: 0xBEEF, words([16, 0, 0, 0])))
    #expect(answer.header.id == 0xBEEF)
  }

  /// Reads whatever comes, until the server closes the connection.
  func expectClosing() throws {
    for _ in 0..<10_000 {
      do {
        _ = try receive()
      } catch {
        #expect(error == .closedByPeer, "\(error)")
        return
      }
    }
    throw Missing()
  }
}
