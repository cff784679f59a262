import Intrusions
import VFIOUserProgram

/// Whom somebody attacks who has broken into the process.
struct IntrusionOptions: ParsableArguments {
  @Option(help: "Serve a device that has been broken into; a folder to attack.")
  var intrude: String?

  @Option(help: "A process to attack.")
  var neighbour: Int32 = 0

  @Option(help: "A TCP port to attack.")
  var port: Int32 = 0

  @Option(help: "A TCP port that the device needs.")
  var needs: UInt16?

  func makeDevice() -> ServedDevice {
    var served = ServedDevice(IntrudedDevice.pci) { _ in try IntrudedDevice(self) }
    served.needs = SandboxNeeds(
      files: [.init(FilePath("\(intrude ?? "")/own"), [.read, .write])],
      ports: Set([needs].compactMap(\.self)))
    return served
  }
}

/// Tries what is written to its register, and has the errno in the other one.
final class IntrudedDevice: Device {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0003,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)])

  private let registers: RegisterFile

  init(_ options: IntrusionOptions) throws {
    let result = Register("result", at: 4, .bits32)
    let attempt = Register("attempt", at: 0, .bits32) { write, registers in
      registers[result] = UInt64(Self.attempt(Int32(truncatingIfNeeded: write.written), options))
    }
    registers = try RegisterFile(size: 4096, [attempt, result])
  }

  private static func attempt(_ number: Int32, _ options: IntrusionOptions) -> Int32 {
    // Sound: the string and the structure are lent for the call.
    unsafe (options.intrude ?? "").withCString { folder in
      var aim = unsafe intrusion_aim(
        folder: folder, neighbour: options.neighbour, port: options.port)
      return unsafe intrusion_try(number, &aim)
    }
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    try registers.write(at: access.offset, from: bytes)
  }

  func reset() {}
}
