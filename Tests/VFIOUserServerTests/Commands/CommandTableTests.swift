import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A feature of some bytes.
private final class SomeBytes: DeviceFeatureHandler {
  let methods: FeatureMethods = [.get, .set]
  let size: Int
  let value = Monitor<[UInt8]>([])
  init(_ size: Int) { self.size = size }
  func replySize(for data: Span<UInt8>) throws(Errno) -> Int { size }
  func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {}
  func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] {
    guard data.count == size else { throw .invalidArgument }
    value.withLock { value in value = data.copied() }
    return data.copied()
  }
}

/// The device of one of everything, with a port that it denies.
private final class DenyingDevice: PluggedDevice {
  let device = FullDevice()
  var pci: PCIDescription { device.pci }
  let isReset = Monitor(false)

  func attach(to bus: DeviceContext) { device.attach(to: bus) }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    if access.region == .bar5, access.offset == 3 { throw .permissionDenied }
    try device.read(access, into: &bytes)
  }
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    if access.region == .bar5, access.offset == 3 { throw .permissionDenied }
    try device.write(access, from: bytes)
  }
  func reset() {
    device.reset()
    isReset.update { $0 = true }
  }
}

/// What can be seen of a device and its server, and changes by commands.
private struct Effects: Equatable {
  var windows: Int
  var configuration: [UInt8]
  var writes: [RegionAccess]
  var resets: Int
  var feature: [UInt8]
  /// What was signalled, and is when the device signals its first two vectors; then by the eventfds that
  /// came with the command.
  var signals: [[UInt64]]
}

@Suite struct `Each command` {
  private let device = DenyingDevice()
  private let feature = SomeBytes(8)
  private let peer: ScriptedPeer
  private let vectors: [EventFD]

  init() throws {
    var options = ServerOptions()
    options.maxDMAWindows = 8
    options.maxDataTransfer = 0x8000
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(
      device, options,
      features: [
        FeatureIndex(rawValue: 77): feature, FeatureIndex(rawValue: 79): SomeBytes(1 << 30),
      ])
    try DetachedThread.start("server") { server.serve(theirs) }
    peer = ScriptedPeer(mine)
    vectors = try counters(2)
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    var list = DescriptorList()
    for vector in vectors { list.append(try vector.descriptor.duplicate()) }
    let set = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 2]))
    #expect(try peer.ask(set, descriptors: list).errno == nil)
  }

  /// Ends what is looked at: interrupts are signalled.
  private func effects(_ luggage: [EventFD] = []) throws -> Effects {
    let bus = try device.device.bus
    var configuration = [UInt8](repeating: 0, count: 4096)
    var span = configuration.mutableSpan
    var raw = unsafe span.mutableBytes
    bus.readConfiguration(at: 0, into: &raw)
    var signals = [vectors.map { $0.take() }]
    for vector in 0..<2 { bus.interrupts.signal(.msix, vector: vector) }
    signals += [vectors.map { $0.take() }, luggage.map { $0.take() }]
    return device.device.state.withLock { state in
      Effects(
        windows: bus.memory.windowCount, configuration: configuration, writes: state.writes,
        resets: state.resets, feature: feature.value.withLock { $0 }, signals: signals)
    }
  }

  private func prepare(_ request: CommandCase) throws {
    for message in request.before { #expect(try peer.ask(message).errno == nil) }
  }

  private func checkThatTheStreamIsInStep() throws {
    let answer = try peer.ask(message(.deviceGetInfo, id: 77, words([16, 0, 0, 0])))
    #expect(answer.header.id == 77)
    #expect(answer.payload.count == 16)
  }

  @Test(arguments: CommandCase.all)
  func `Each command gets its reply or is refused with its errno`(_ request: CommandCase) throws {
    try prepare(request)
    let answer = try peer.ask(request.message(), descriptors: request.descriptors())
    #expect(answer.header.id == 0x1234)
    #expect(answer.header.command == request.command)
    switch request.answer {
    case .bytes(let count):
      #expect(answer.header.flags == .reply)
      #expect(answer.header.error == 0)
      #expect(answer.payload.count == count)
    case .refused(let errno):
      #expect(answer.header.flags == [.reply, .error])
      #expect(answer.errno == UInt32(errno.rawValue))
      #expect(answer.payload == [])
    }
    try checkThatTheStreamIsInStep()
  }

  @Test(arguments: CommandCase.all)
  func `Each command with the no-reply flag has the same effect and gets no reply`(
    _ request: CommandCase
  ) throws {
    let (answered, untouched) = (try Self(), try Self())
    for one in [self, answered, untouched] { try one.prepare(request) }
    let (quietly, loudly) = (try request.luggageKept(), try request.luggageKept())
    peer.send(request.message(.noReply), descriptors: try request.descriptors(quietly))
    _ = try answered.peer.ask(request.message(), descriptors: request.descriptors(loudly))
    // The next answer is that to the next command.
    try checkThatTheStreamIsInStep()
    let effects = try effects(quietly)
    #expect(try effects == answered.effects(loudly))
    let without = try untouched.effects(Array(quietly.prefix(0)))
    var compared = effects
    if without.signals.count == 3, effects.signals[2].allSatisfy({ $0 == 0 }) {
      compared.signals[2] = []
    }
    #expect((compared != without) == request.hasEffects, "\(request)")
  }

  @Test(arguments: CommandCase.all)
  func `Each command with an unknown header flag is refused with EINVAL`(_ request: CommandCase)
    throws
  {
    var bytes = request.message()
    bytes[9] |= 1
    let answer = try peer.ask(bytes, descriptors: request.descriptors())
    #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
    try checkThatTheStreamIsInStep()
  }

  @Test func `Map, unmap, write and reset commands with the no-reply flag take effect`() throws {
    let window = words([32, 3]) + longs(0, 0x10000, 0x1000)
    peer.send(message(.dmaMap, flags: .noReply, window))
    #expect(
      try peer.ask(message(.dmaMap, window)).errno == UInt32(Errno.fileExists.rawValue))
    peer.send(message(.dmaUnmap, flags: .noReply, words([24, 0]) + longs(0x10000, 0x1000)))
    #expect(try peer.ask(message(.dmaMap, window)).errno == nil)
    let command = RegionAccess(offset: 4, region: .configuration, count: 2)
    peer.send(message(.regionWrite, flags: .noReply, bytes(of: command) + [6, 0]))
    #expect(try peer.ask(message(.regionRead, bytes(of: command))).payload.suffix(2) == [6, 0])
    peer.send(message(.deviceReset, flags: .noReply))
    #expect(try peer.ask(message(.regionRead, bytes(of: command))).payload.suffix(2) == [0, 0])
    #expect(device.isReset.withLock { $0 })
  }

  @Test func `The command table covers each known command and each errno`() {
    let known = (1...18).map { Command(rawValue: $0) }
    #expect(Set(CommandCase.all.map(\.command)).isSuperset(of: known))
    let errnos = Set(
      CommandCase.all.compactMap { row -> Errno? in
        if case .refused(let errno) = row.answer { errno } else { nil }
      })
    // EBUSY (a window in use, a second client) and EPROTONOSUPPORT need more than a message.
    #expect(
      errnos == [
        .invalidArgument, .noFunction, .notSupported, .fileExists, .noSuchFileOrDirectory,
        .noSpace, .notPermitted, .permissionDenied,
        .argListTooLong,
      ])
  }
}

@Suite struct `Guest memory pinned by the device` {
  private let device = CallbackDevice()
  private let held = Holder()
  private let peer: ScriptedPeer
  private let file: TruncatableMemory

  init() throws {
    var options = ServerOptions()
    options.quiesceTimeout = .milliseconds(50)
    peer = try connect(to: device, options: options)
    file = try TruncatableMemory(size: 0x10000)
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let map = DMAMap(flags: [.readable, .writable], address: 0x10000, size: 0x10000)
    #expect(try peer.ask(message(.dmaMap, bytes(of: map)), descriptors: descriptors).errno == nil)
    let held = held
    device.state.withLock { state in
      state.onWrite = { bus in
        try? held.pin(
          GuestRange(address: 0x10800, count: 0x1000), for: .writing, of: bus.memory.access())
      }
    }
    let write = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4)) + [1, 2, 3, 4]
    #expect(try peer.ask(message(.regionWrite, write)).errno == nil)
    #expect(held.counts == [1, 0x1000])
  }

  private let unmap = message(.dmaUnmap, bytes(of: DMAUnmap(address: 0x10000, size: 0x10000)))

  @Test(arguments: [unmapOne, unmapAll])
  func `DMA_UNMAP of pinned memory fails with EBUSY and keeps the DMA window mapped`(
    _ unmap: [UInt8]
  ) throws {
    #expect(try peer.ask(unmap).errno == UInt32(Errno.resourceBusy.rawValue))
    #expect(
      device.state.withLock { $0.quiesced } == [[GuestRange(address: 0x10000, count: 0x10000)]])
    #expect(try device.bus.memory.access().load(at: 0x10000) == 0 as UInt8)
    held.drop()
    #expect(try peer.ask(unmap).errno == nil)
    #expect(device.state.withLock { $0.quiesced }.count == 1)
  }

  private static let unmapOne = message(
    .dmaUnmap, bytes(of: DMAUnmap(address: 0x10000, size: 0x10000)))
  private static let unmapAll = message(.dmaUnmap, bytes(of: DMAUnmap.everything))

  @Test func `DMA_UNMAP calls quiesce and waits until another thread releases the pinned memory`()
    throws
  {
    let held = held
    device.state.withLock { state in
      state.onQuiesce = {
        _ = try? DetachedThread.start("release") { held.release() }
      }
    }
    #expect(try peer.ask(unmap).errno == nil)
    #expect(try device.bus.memory.windowCount == 0)
  }

  @Test func `The quiesce callback may release the pinned memory itself`() throws {
    let held = held
    device.state.withLock { state in state.onQuiesce = { held.release() } }
    #expect(try peer.ask(unmap).errno == nil)
    #expect(held.counts[0] == 0)
  }

  @Test func `DMA_UNMAP of pinned memory with the no-reply flag sends no EBUSY`() throws {
    var quiet = unmap
    quiet[8] |= 1 << 4
    peer.send(quiet)
    #expect(try peer.ask(message(.deviceGetInfo, id: 5, words([16, 0, 0, 0]))).header.id == 5)
    #expect(try device.bus.memory.windowCount == 1)
  }

  @Test func `Pinned memory outlives its client and belongs to no DMA window afterwards`() throws {
    peer.socket.shutdown()
    #expect(eventually { device.state.withLock { $0.departures } == 1 })
    #expect(mappingsOfClients() >= 1)
    #expect(try device.bus.memory.windowCount == 0)
    #expect(held.counts[0] == 1)
    held.release()
  }
}
