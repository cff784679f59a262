import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTesting
import VFIOUserTransport

/// A device with two sources, whose work waits until the test lets it go on.
final class ContextDevice: Device {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5678,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)],
    hasInterruptPin: true,
    capabilities: [
      .msi(MSI(vectors: 2, perVectorMasking: true)), .msix(MSIX(vectors: 4)),
      .powerManagement(PowerManagement(noSoftReset: false)),
      .vendorSpecific(VendorSpecific(size: 8, registers: [asked, answer, refusing])),
    ])

  /// Of the vendor-specific capability: what is written to the first shows in the second; the third throws.
  static let answer = Register("answer", at: 5, .bits8)
  static let asked = Register("asked", at: 4, .bits8, writable: 0xFF) { write, file throws(Errno) in
    file[answer] = write.value + 1
  }
  static let refusing = Register("refused", at: 6, .bits8) { _, _ throws(Errno) in throw .noSpace }

  static let result = Register("result", at: 0x00, .bits32)
  static let events: UInt64 = 0x04

  let context: DeviceContext
  let sources: [InterruptSource]
  let registers: RegisterFile
  let calls = Monitor<[String]>([])
  /// Whether work may end.
  let gate = Monitor(true)
  let failures = Monitor<[MemoryError]>([])

  init(_ context: DeviceContext) throws {
    self.context = context
    sources = [0, 3].map { context.interrupts.source(vector: $0) }
    registers = try RegisterFile(
      size: 4096,
      [
        Self.result,
        Register(
          "events", at: Self.events, .bits32, clearedByOne: 0xFF, interrupt: sources[0]),
        Register("refusing", at: 0x08, .bits32, onWrite: { _, _ throws(Errno) in throw .noSpace }),
        Register("behind", at: 0x0C, .bits32, writable: .max >> 32),
      ])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    calls.withLock { $0.append("read \(access.region)") }
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard access.offset >= 0x800 else { return try registers.write(at: access.offset, from: bytes) }
    try context.afterReply { [self] memory in
      calls.withLock { $0.append("work") }
      _ = gate.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
      do throws(MemoryError) {
        try memory.write(at: 0x10000, from: [7])
      } catch {
        failures.withLock { $0.append(error) }
      }
      memory.ifCurrent {
        registers[Self.result] += 1
        sources[1].raise()
      }
      calls.update { $0.append("end") }
    }
  }

  func reset() { registers.reset() }
  func clientConnected() { calls.withLock { $0.append("connected") } }
  func dmaAllowed() { calls.withLock { $0.append("allowed") } }
  func clientLeft() { calls.withLock { $0.append("left") } }

  func ends(_ count: Int = 1) -> Bool {
    calls.withLock(when: { $0.count { $0 == "end" } >= count }, before: .after(.seconds(10))) { _ in
    }
      != nil
  }
}

struct ContextBench {
  let server: DeviceServer
  let device: ContextDevice
  let memory: SharedMemory

  init() throws {
    server = try DeviceServer(ContextDevice.pci) { try ContextDevice($0) }
    device = try #require(server.device as? ContextDevice)
    memory = try SharedMemory(size: 4096)
  }

  func connect() throws -> Client {
    let client = try server.connect()
    try client.map(memory, at: 0x10000, size: 4096)
    return client
  }

  static func setBusMaster(_ client: Client) throws {
    try client.store(UInt16(0b110), .configuration, at: 4)
  }

  static func level(_ client: Client) throws -> Bool {
    try client.load(.configuration, at: 6, as: UInt16.self) & 8 != 0
  }
}
