// The devices that blocks of the documentation speak of; Scripts/check-articles compiles each block together with this.
import VFIOUserProgram

final class HelloDevice: Device {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0001,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)))

  init(_ context: DeviceContext) throws {}
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {}
  func reset() {}
}

typealias MyDevice = HelloDevice
