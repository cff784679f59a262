import SystemPackage
import TestSupport
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A device that has one of everything, and notes what it is called for.
///
/// BAR0 is registers with two pages of memory in the middle, BAR1 memory that nobody maps, BAR2 memory
/// with two sparse areas, BAR4 callbacks with the MSI-X table at 0x1000 and the pending bits at
/// 0x1800; region 9 is memory in whole.
final class FullDevice: PluggedDevice {
  struct State {
    var reads: [RegionAccess] = []
    var writes: [RegionAccess] = []
    var memoryWrites: [RegionAccess] = []
    var configurationWrites: [RegionAccess] = []
    var resets = 0
    var departures = 0
    var bus: DeviceContext?
  }

  static let rom = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }
  static let vectors = 96

  let state = Monitor(State())
  let pci: PCIDescription

  init(_ pci: PCIDescription = FullDevice.description) { self.pci = pci }

  static let description = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5678,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(
        .memory32(prefetchable: false), size: 64 << 10,
        backing: .memoryAreas([0x1000..<0x3000])),
      1: BaseAddressRegister(
        .memory32(prefetchable: true), size: 256, backing: .memory(mappable: .nothing)),
      2: BaseAddressRegister(
        .memory64(prefetchable: true), size: 1 << 20,
        backing: .memory(
          mappable: .areas([0x80000..<0x81000, 0x10000..<0x20000]), notifying: true)),
      4: BaseAddressRegister(.memory32(prefetchable: false), size: 8 << 10),
      5: BaseAddressRegister(.io, size: 32),
    ],
    hasInterruptPin: true,
    expansionROM: rom,
    capabilities: [
      .powerManagement(PowerManagement(supportsD1: true, noSoftReset: false)),
      .msi(MSI(vectors: 8, perVectorMasking: true)),
      .express(Express()),
      .msix(MSIX(vectors: vectors, bar: 4, tableOffset: 0x1000, pendingOffset: 0x1800)),
      .vendorSpecific(VendorSpecific([1, 2, 3, 4], writable: [0, 0xF0, 0, 0xFF])),
    ],
    extendedCapabilities: [
      .serialNumber(0x0102_0304_0506_0708),
      .vendorSpecific(id: 0xABCD, revision: 3, bytes: [9, 8, 7], writable: [0xFF]),
    ],
    deviceRegions: [
      DeviceRegion(type: RegionType(type: 7, subtype: 8), size: 4096, backing: .memory())
    ],
    ioEventAreas: [
      IOEventArea("doorbell", in: .bar0, at: 0x10, size: 4),
      IOEventArea("doorbell", in: .bar0, at: 0x14, size: 4, .event(matching: 5)),
      IOEventArea("queue", in: .bar0, at: 0x20),
      IOEventArea("ports", in: .bar5, at: 0, size: 32, .accesses(userData: 99, posted: true)),
    ])

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }

  /// Reads as the low byte of each offset.
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    state.withLock { $0.reads.append(access) }
    for place in 0..<bytes.byteCount {
      bytes.storeBytes(
        of: UInt8(truncatingIfNeeded: access.offset + UInt64(place)), toByteOffset: place,
        as: UInt8.self)
    }
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    state.withLock { $0.writes.append(access) }
  }

  func reset() { state.withLock { $0.resets += 1 } }
  func clientLeft() { state.update { $0.departures += 1 } }
  func configurationWritten(_ access: RegionAccess) {
    state.withLock { $0.configurationWrites.append(access) }
  }
  func memoryWritten(_ access: RegionAccess) { state.withLock { $0.memoryWrites.append(access) } }

  var bus: DeviceContext {
    get throws { try state.withLock { $0.bus }.orThrow() }
  }

  func signal(_ index: InterruptIndex, _ vector: Int = 0) throws {
    try bus.interrupts.signal(index, vector: vector)
  }
}

struct Missing: Error {}

extension Optional {
  func orThrow() throws -> Wrapped {
    guard let self else { throw Missing() }
    return self
  }
}

/// A server for one client after the other, without a path.
final class Bench {
  let device: FullDevice
  let server: DeviceServer

  init(
    _ device: FullDevice = FullDevice(), features: [FeatureIndex: any DeviceFeatureHandler] = [:]
  )
    throws
  {
    self.device = device
    server = try DeviceServer(device, features: features)
  }

  private func connect() throws -> MessageSocket {
    let server = server
    // The one before needs a moment to be gone.
    _ = eventually { !server.hasClient }
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    return mine
  }

  func client() throws -> Client { try Client(connect()) }

  func peer(_ version: [UInt8] = ScriptedPeer.versionOfQEMU) throws -> ScriptedPeer {
    let peer = ScriptedPeer(try connect())
    _ = try peer.ask(version)
    return peer
  }
}

func counters(_ count: Int) throws -> [EventFD] {
  try (0..<count).map { _ in try EventFD() }
}

func words(_ words: [UInt32]) -> [UInt8] {
  words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
}

extension Client {
  /// Where a capability is, found as a driver does.
  func offset(ofCapability id: UInt8) throws -> UInt64 {
    var offset = try load(.configuration, at: 0x34, as: UInt8.self)
    for _ in 0..<48 where offset != 0 {
      let header = try load(.configuration, at: UInt64(offset), as: UInt16.self)
      if UInt8(truncatingIfNeeded: header) == id { return UInt64(offset) }
      offset = UInt8(header >> 8)
    }
    throw Missing()
  }
}
