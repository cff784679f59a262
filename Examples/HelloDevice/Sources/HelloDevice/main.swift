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

  /// What threads share: the bus, and how often the device began anew.
  private struct State {
    var bus: DeviceContext?
    var life = 0
  }

  private let registers: RegisterFile
  private let state = Monitor(State())

  init() throws {
    registers = try RegisterFile(
      size: 4096,
      [
        Register("identity", at: 0x00, .bits32, reset: 0x6F6C_6548),
        Register("address", at: 0x08, .bits64, writable: .max),
        Register("greet", at: 0x10, .bits32, writable: 1),
        Register("interrupt", at: 0x14, .bits32, clearedByOne: 1),
        Register("failed", at: 0x18, .bits32, clearedByOne: 1),
      ])
  }

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    registers.write(at: access.offset, from: bytes)
    let now = state.withLock { $0 }
    guard let bus = now.bus else { return }
    // The access may have covered other registers as well, so it is the register that says what to do.
    var isAsked = false
    registers.update(at: 0x10) { greet in
      isAsked = greet != 0
      greet = 0
    }
    if isAsked { try greet(bus, now.life) }
    // The driver may have acknowledged.
    registers.update(at: 0x14) { bus.interrupts.setLevel($0 != 0) }
  }

  /// Goes on after the reply: the guest waits for it, and may have to answer for its memory.
  private func greet(_ bus: DeviceContext, _ life: Int) throws(Errno) {
    let address = registers.value(at: 0x08) ?? 0
    try bus.afterReply { [self] memory in
      let mayWrite = bus.isBusMaster && state.withLock { $0.life == life }
      let hello = Array("Hello, guest!".utf8)
      let isWritten = mayWrite && (try? memory.write(at: address, from: hello)) != nil
      finish(bus, life, isWritten)
    }
  }

  private func finish(_ bus: DeviceContext, _ life: Int, _ isWritten: Bool) {
    state.withLock { state in
      // After a reset, and with the next client, nobody waits for this greeting.
      guard state.life == life else { return }
      guard isWritten else {
        registers.update(at: 0x18) { $0 = 1 }
        return
      }
      registers.update(at: 0x14) { interrupt in
        interrupt = 1
        bus.interrupts.setLevel(true)
      }
    }
  }

  func reset() {
    state.withLock { state in
      state.life += 1
      registers.reset()
      state.bus?.interrupts.setLevel(false)
    }
  }

  /// The next client finds a device that nobody has used.
  func clientLeft() { reset() }
}

let path = FilePath(CommandLine.arguments.dropFirst().first ?? "/tmp/hello.sock")
try DeviceServer(HelloDevice()).run(on: ListeningSocket(path: path))
