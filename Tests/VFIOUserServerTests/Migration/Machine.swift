import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTesting
import VFIOUserTransport

@testable import VFIOUserServer

/// A device with registers, an interrupt, memory that is mapped, and work that a test holds up.
final class Movable: SavableDevice {
  struct SavedState: Codable, Sendable {
    var registers: RegisterFile.Contents
    var isRefused = false
  }

  static func pci(_ memory: UInt64 = 64 << 10) -> PCIDescription {
    PCIDescription(
      identity: PCIIdentity(
        vendor: 0x1234, device: 0x5678,
        classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
      bars: [
        0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096),
        2: BaseAddressRegister(
          .memory32(prefetchable: true), size: memory, backing: .memory(mappable: .everything)),
      ],
      hasInterruptPin: true,
      capabilities: [.msix(MSIX(vectors: 70)), .msi(MSI(vectors: 4, perVectorMasking: true))])
  }

  let context: DeviceContext
  let registers: RegisterFile
  let calls = Monitor<[String]>([])
  /// What ends the suspension, when the test does that.
  let whenDone = Monitor<(@Sendable () -> Void)?>(nil)
  let waitsInSuspend: Bool
  /// How long resources take to be given up or had.
  let slowness = Monitor(Duration.zero)
  /// With what resources are neither given up nor had.
  let refusal = Monitor<Errno?>(nil)
  /// Whether work on the worker may end.
  let gate = Monitor(true)

  init(_ context: DeviceContext, waitsInSuspend: Bool = false) throws {
    self.context = context
    self.waitsInSuspend = waitsInSuspend
    registers = try RegisterFile(
      size: 4096,
      [
        Register("value", at: 0, .bits32, writable: .max >> 32),
        Register("event", at: 4, .bits32, writable: 0xFF, interrupt: context.interrupts.source()),
        Register("worked", at: 8, .bits32),
      ])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  /// A write at 0x800 writes its number to guest memory at 0x10000, after the reply.
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard access.offset >= 0x800 else { return try registers.write(at: access.offset, from: bytes) }
    let offset: UInt32 = bytes.littleEndian(at: 0)
    try context.afterReply { [self] memory in
      _ = gate.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
      try? memory.write(at: 0x10000 + UInt64(offset), from: [7])
      memory.ifCurrent { registers.update(at: 8) { $0 += 1 } }
    }
  }

  func reset() {
    calls.withLock { $0.append("reset") }
    registers.reset()
  }

  func suspend(_ whenDone: @escaping @Sendable () -> Void) {
    calls.withLock { $0.append("suspend") }
    if waitsInSuspend { self.whenDone.update { $0 = whenDone } } else { whenDone() }
  }

  func save() throws(StateError) -> SavedState {
    calls.withLock { $0.append("save") }
    guard registers.value(at: 0) != 0xDEAD else { throw StateError("this cannot be saved") }
    return SavedState(registers: registers.contents, isRefused: registers.value(at: 0) == 0xBAD)
  }

  func load(_ state: SavedState) throws(StateError) {
    calls.withLock { $0.append("load") }
    guard !state.isRefused else { throw StateError("this state is refused") }
    try registers.load(state.registers)
  }

  func releaseResources() throws(Errno) { try checkResources("release") }
  func acquireResources() throws(Errno) { try checkResources("acquire") }

  private func checkResources(_ call: String) throws(Errno) {
    calls.withLock { $0.append(call) }
    _ = eventually(within: slowness.withLock { $0 }) { false }
    if let refusal = refusal.withLock({ $0 }) { throw refusal }
  }

  func resume() { calls.withLock { $0.append("resume") } }
}

struct Machine {
  let server: DeviceServer
  let device: Movable
  let client: Client

  init(
    waitsInSuspend: Bool = false, memory: UInt64 = 64 << 10, quiesce: Duration = .seconds(2),
    _ clientOptions: ClientOptions = ClientOptions()
  ) throws {
    var options = ServerOptions()
    options.quiesceTimeout = quiesce
    (device, server) = try plug(Movable.pci(memory), options) {
      try Movable($0, waitsInSuspend: waitsInSuspend)
    }
    client = try server.connect(clientOptions)
  }

  func isRunning() throws -> Bool { try client.migrationState() == .running }

  /// The whole state, in pieces.
  func readState(piece: Int = 1000) throws -> [UInt8] {
    var state: [UInt8] = []
    while true {
      let bytes = try client.readMigrationData(piece)
      state += bytes
      if bytes.count < piece { return state }
    }
  }

  func errno(_ body: () throws -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch {
      guard case .refused(_, let errno) = (error as? ClientError)?.reason else { return .ioError }
      return errno
    }
  }
}
