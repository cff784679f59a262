internal import Logging
internal import VFIOUserServer
internal import SystemPackage
internal import TestSupport
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// A client that sends what a fuzzer made up, to a device in the same thread.
///
/// The first byte of an input says how it is meant: bit 0, whether a VERSION goes before the rest; bit 1,
/// whether the rest is records, each a command, flags, a number of bytes and those bytes, of which
/// messages are made with the right size; the upper bits, in what pieces it is sent. Otherwise the rest
/// is a raw stream.
package final class ServerInput {
  private let server: DeviceServer
  private let memory: TruncatableMemory
  private let counter: EventFD
  private var runs = 0
  private var expectedDescriptors = 0

  /// Makes the device.
  package init() throws {
    var options = ServerOptions()
    options.logger.logLevel = .critical
    options.quiesceTimeout = .milliseconds(1)
    options.maxDMAWindows = 16
    server = try DeviceServer(FuzzedDevice(), options)
    memory = try TruncatableMemory(size: 0x10000)
    counter = try EventFD()
  }

  /// Runs one input, and stops the process when something is not as it should be.
  package func run(_ input: Span<UInt8>) throws {
    guard input.count > 1 else { return }
    let (mine, theirs) = try MessageSocket.pair()
    var session = SteppedSession(server, theirs)
    var replies = FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 253)
    var isOver = false
    if input[0] & 1 != 0 { send(ScriptedPeer.versionOfQEMU, mine, &session, &replies, &isOver) }
    let rest = input.extracting(1...)
    if input[0] & 2 != 0 {
      try sendRecords(rest, mine, &session, &replies, &isOver)
    } else {
      let piece = max(1, Int(input[0] >> 2) * 8)
      var start = 0
      while start < rest.count, !isOver {
        let end = min(rest.count, start + piece)
        send((start..<end).map { rest[$0] }, mine, &session, &replies, &isOver)
        start = end
      }
    }
    mine.shutdown()
    session.end()
    checkDescriptors()
  }

  private func sendRecords(
    _ records: Span<UInt8>, _ socket: MessageSocket, _ session: inout SteppedSession,
    _ replies: inout FrameAssembler, _ isOver: inout Bool
  ) throws {
    var start = 0
    while start + 3 <= records.count, !isOver {
      let (command, flags) = (records[start], records[start + 1])
      let end = min(records.count, start + 3 + Int(records[start + 2]))
      let payload = (start + 3..<end).map { records[$0] }
      let bytes = message(
        Command(rawValue: UInt16(command & 31)), flags: flags & 0x10 == 0 ? [] : .noReply, payload)
      var list = DescriptorList()
      for _ in 0..<(flags & 3) { list.append(try memory.lent()) }
      for _ in 0..<(flags >> 2 & 3) { list.append(try counter.descriptor.duplicate()) }
      send(bytes, socket, &session, &replies, &isOver, list)
      if flags & 0x80 != 0 { memory.resize(to: flags & 0x40 == 0 ? 0 : 0x10000) }
      start = end
    }
  }

  private func send(
    _ bytes: [UInt8], _ socket: MessageSocket, _ session: inout SteppedSession,
    _ replies: inout FrameAssembler, _ isOver: inout Bool,
    _ descriptors: consuming DescriptorList = DescriptorList()
  ) {
    guard !isOver else { return }
    socket.sendAll(bytes, descriptors: descriptors)
    do {
      try session.proceed()
    } catch {
      isOver = true
    }
    take(from: socket, &replies)
  }

  /// What the server sends has to be well-formed.
  private func take(from socket: MessageSocket, _ replies: inout FrameAssembler) {
    do {
      while try socket.receive(into: &replies, wait: false) {
        while let frame = try replies.next() {
          precondition(
            frame.header.flags.isReply || frame.header.command == .dmaRead
              || frame.header.command == .dmaWrite, "the server sent \(frame.header)")
          precondition(
            !frame.header.flags.contains(.error) || frame.header.error != 0,
            "an error without errno")
        }
      }
    } catch .closedByPeer, .closedByUs {
    } catch {
      preconditionFailure("the server's stream is broken: \(error)")
    }
  }

  /// Nothing that a client sent stays open when it has gone.
  private func checkDescriptors() {
    runs += 1
    guard runs % 256 == 0 else { return }
    let open = openDescriptors()
    if expectedDescriptors == 0 { expectedDescriptors = open + 16 }
    precondition(open <= expectedDescriptors, "\(open) descriptors are open")
  }
}

/// Registers, memory, all kinds of interrupts, and DMA at an address that the client writes.
private final class FuzzedDevice: PluggedDevice {
  let bus = Monitor<DeviceContext?>(nil)
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5678,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096),
      2: BaseAddressRegister(
        .memory32(prefetchable: true), size: 64 << 10,
        backing: .memory(mappable: .areas([0x1000..<0x2000]))),
    ],
    hasInterruptPin: true, expansionROM: [1, 2, 3],
    capabilities: [
      .powerManagement(PowerManagement(noSoftReset: false)), .express(Express()),
      .msi(MSI(vectors: 4, perVectorMasking: true)), .msix(MSIX(vectors: 16, bar: 4)),
    ],
    extendedCapabilities: [.serialNumber(1)],
    deviceRegions: [DeviceRegion(type: RegionType(type: 1, subtype: 1), size: 16)],
    ioEventAreas: [IOEventArea("bell", in: .bar0, at: 0x800)])

  func attach(to bus: DeviceContext) { self.bus.withLock { $0 = bus } }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func reset() {}

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard let bus = bus.withLock({ $0 }), access.region == .bar0 else { return }
    let number = bytes.indices.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
    do throws(MemoryError) {
      let transfer = bus.memory.access()
      switch access.offset % 6 {
      case 0: _ = try transfer.load(at: number) as UInt32
      case 1: try transfer.write(at: number, from: try transfer.read(at: number, count: 300))
      case 2: _ = try transfer.fetchOr(1 as UInt16, at: number)
      case 3: bus.interrupts.signal(.msix, vector: Int(truncatingIfNeeded: number))
      case 4: bus.interrupts.setLevel(number & 1 != 0)
      default:
        var pinned = PinnedSlices()
        try pinned.pin(
          GuestRange(address: number, count: number >> 48), for: .reading, of: transfer)
      }
    } catch {
      throw error.errno
    }
  }
}
