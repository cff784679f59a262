import VFIOUserProgram

/// Adds up the bytes of buffers that a driver lists in a ring in its memory.
final class RingDevice: SavableDevice {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0002,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)],
    capabilities: [.msix(MSIX(vectors: 1)), .express(Express(functionLevelReset: true))])

  private let ring: Ring
  private let registers: RegisterFile

  init(_ context: DeviceContext) throws {
    let ring = Ring(finished: context.interrupts.source(vector: 0))
    let doorbell = Register("doorbell", at: 0x14, .bits32) { write, registers throws(Errno) in
      // The worker empties the ring; it is called only when it has nothing to do.
      guard try ring.extend(to: write.written, registers) else { return }
      do throws(Errno) {
        try context.afterReply { memory in ring.serve(registers, memory) }
      } catch {
        registers[ring.tail] = registers[ring.head]
        throw error
      }
    }
    let identity = Register("identity", at: 0x00, .bits32, reset: 0x676E_6952)
    self.ring = ring
    registers = try RegisterFile(
      size: 4096, [identity, ring.address, ring.head, doorbell, ring.tail, ring.events])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    try registers.write(at: access.offset, from: bytes)
  }

  func reset() { registers.reset() }
  func clientLeft() { registers.reset() }

  // The framework has the worker finish before it saves, so a saved ring is empty.
  func save() -> RegisterFile.Contents { registers.contents }

  func load(_ saved: RegisterFile.Contents) throws(StateError) {
    guard let head = saved.values["head"], head < Ring.entries, saved.values["tail"] == head else {
      throw StateError("the ring is not empty, or has more than \(Ring.entries) entries")
    }
    try registers.load(saved)
  }
}

@main struct RingProgram: DeviceProgram {
  func makeDevice() -> ServedDevice { ServedDevice(RingDevice.pci) { try RingDevice($0) } }
}
