import SystemPackage
import TestSupport
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A device of plain memory: BAR0 256 ports, BAR2 64 KiB, BAR4 2 MiB of 64-bit memory, and a pin.
///
/// Byte 255 of BAR0 refuses to be touched.
final class TestDevice: PluggedDevice {
  struct State {
    var memory: [UInt32: [UInt8]] = [:]
    var resets = 0
    var departures = 0
    var bus: DeviceContext?
  }

  let state = Monitor(State())
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x5678, revision: 9,
      classCode: PCIClass(base: 0xFF, sub: 0x01, programmingInterface: 0x02),
      subsystemVendor: 0xAAAA, subsystem: 0xBBBB),
    bars: [
      0: BaseAddressRegister(.io, size: 256),
      2: BaseAddressRegister(.memory32(prefetchable: true), size: 64 << 10),
      4: BaseAddressRegister(.memory64(prefetchable: false), size: 2 << 20),
    ],
    hasInterruptPin: true)

  init() { clear() }

  private func clear() {
    state.withLock { state in
      for (number, bar) in pci.bars {
        state.memory[UInt32(number)] = [UInt8](repeating: 0, count: Int(bar.size))
      }
    }
  }

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    guard access.region != .bar0 || access.offset != 255 else { throw .permissionDenied }
    state.withLock { state in
      let memory = state.memory[access.region.rawValue] ?? []
      for index in 0..<bytes.byteCount {
        bytes.storeBytes(
          of: memory[Int(access.offset) + index], toByteOffset: index, as: UInt8.self)
      }
    }
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    guard access.region != .bar0 || access.offset != 255 else { throw .permissionDenied }
    state.withLock { state in
      for index in bytes.indices {
        state.memory[access.region.rawValue]?[Int(access.offset) + index] = bytes[index]
      }
    }
  }

  func reset() {
    clear()
    state.update { $0.resets += 1 }
  }

  func clientLeft() { state.update { $0.departures += 1 } }

  /// Raises or lowers the pin.
  func setLevel(_ level: Bool) {
    state.withLock { $0.bus }?.interrupts.setLevel(level)
  }
}

/// A server whose client is a script.
func connect(
  to device: any PluggedDevice = TestDevice(), negotiated: Bool = true,
  options: ServerOptions = ServerOptions()
) throws -> ScriptedPeer {
  let (mine, theirs) = try MessageSocket.pair()
  let server = try DeviceServer(device, options)
  try DetachedThread.start("server") { server.serve(theirs) }
  let peer = ScriptedPeer(mine)
  if negotiated { _ = try peer.ask(ScriptedPeer.versionOfQEMU) }
  return peer
}
