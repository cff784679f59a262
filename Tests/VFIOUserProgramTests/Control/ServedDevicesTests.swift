import Foundation
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer

@testable import VFIOUserProgram

private final class Nothing: Device {
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {}
  func reset() {}
}

private struct NothingProgram: DeviceProgram {
  func makeDevice() -> ServedDevice {
    let identity = PCIIdentity(
      vendor: 0x1234, device: 0x0002,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0))
    return ServedDevice(PCIDescription(identity: identity)) { _ in Nothing() }
  }
}

@Suite(.timeLimit(.minutes(1))) struct `Devices that come and go` {
  @Test func `A device that is being added when the process ends is not left behind`() throws {
    let scratch = try ScratchFolder()
    let socket = scratch.path("socket")
    let (isAdding, mayGoOn, hasStopped, isOver) = (
      Monitor(false), Monitor(false), Monitor(false), Monitor(false)
    )
    let catalogue = DeviceCatalogue(
      read: { DeviceRequest(kind: $0.device, arguments: []) },
      make: { request in
        isAdding.update { $0 = true }
        _ = mayGoOn.withLock(when: { $0 }) { _ in }
        let command = try DeviceProgramCommand<NothingProgram>.parse(["--socket", socket])
        return DeviceToServe(command, request: request)
      }, check: { _ in }, write: { _, _, _ in "" })
    let devices = ServedDevices([], catalogue, changes: DeviceChanges()) { _, _ in }
    try DetachedThread.start("add") {
      _ = try? devices.add(AddParameters(device: "nothing"))
      isOver.update { $0 = true }
    }
    #expect(eventually { isAdding.withLock { $0 } })
    try DetachedThread.start("stop") {
      devices.stop()
      hasStopped.update { $0 = true }
    }
    #expect(!eventually(within: .milliseconds(200)) { hasStopped.withLock { $0 } })
    mayGoOn.update { $0 = true }
    #expect(eventually { hasStopped.withLock { $0 } && isOver.withLock { $0 } })
    #expect(devices.all.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: socket))
  }
}
