import Synchronization
import SystemPackage
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// Writes a greeting to guest memory, and interrupts when it is there.
final class HelloDevice: Device {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0001,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)],
    hasInterruptPin: true)

  private let registers: RegisterFile
  private let bus = Mutex<DeviceBus?>(nil)

  init() throws {
    registers = try RegisterFile(
      size: 4096,
      [
        Register("identity", at: 0x00, .bits32, reset: 0x6F6C_6548),
        Register("address", at: 0x08, .bits64, writable: .max),
        Register("greet", at: 0x10, .bits32),
        Register("interrupt", at: 0x14, .bits32, clearedByOne: 1),
      ])
  }

  func attach(to bus: DeviceBus) { self.bus.withLock { $0 = bus } }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    registers.write(at: access.offset, from: bytes)
    guard let bus = bus.withLock({ $0 }) else { return }
    if access.offset == 0x10 { try greet(bus) }
    // The driver may have acknowledged.
    registers.update(at: 0x14) { bus.interrupts.setLevel($0 != 0) }
  }

  /// Goes on after the reply: the guest waits for it, and may have to answer for its memory.
  private func greet(_ bus: DeviceBus) throws(Errno) {
    let address = registers.value(at: 0x08) ?? 0
    try bus.perform { [registers] memory in
      try? memory.write(at: address, from: Array("Hello, guest!".utf8))
      registers.update(at: 0x14) { interrupt in
        interrupt = 1
        bus.interrupts.setLevel(true)
      }
    }
  }

  func reset() { registers.reset() }
}

let path = FilePath(CommandLine.arguments.dropFirst().first ?? "/tmp/hello.sock")
try DeviceServer(HelloDevice()).run(on: ListeningSocket(path: path))
