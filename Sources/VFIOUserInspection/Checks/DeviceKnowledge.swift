internal import VFIOUserProtocol

/// What the client has read of its device so far: where capabilities are, what the device is.
///
/// So messages can be judged by what others have said, and registers behind the header get names.
struct DeviceKnowledge: Sendable {
  /// The part of configuration space where PCI's capabilities are; nil for a byte that nobody has read.
  private var space = [UInt8?](repeating: nil, count: 256)
  /// Offsets of capabilities by their ID, as far as the list is known.
  private var capabilities: [UInt8: Int] = [:]
  /// Bytes from one doorbell of an NVMe controller to the next.
  private var doorbellStride: UInt64 = 4
  /// How many MSI-X interrupts DEVICE_GET_IRQ_INFO has told.
  private var vectors: UInt32?
  private var hasContradicted = false

  private static let msi: UInt8 = 0x05
  private static let msix: UInt8 = 0x11
  /// A list with more has a loop.
  private static let mostCapabilities = 48

  /// Whether the class code is that of NVM Express (NVM Express 1.4, 2.1.5), whatever the interface.
  private var isNVMe: Bool { space[0x0B] == 0x01 && space[0x0A] == 0x08 }

  /// Takes what was read of a region.
  mutating func learn(_ access: RegionAccess, _ data: Span<UInt8>) {
    guard access.offset < UInt64(space.count) else { return }
    let start = Int(access.offset)
    switch access.region {
    case .configuration:
      for index in 0..<min(data.count, space.count - start) { space[start + index] = data[index] }
      followCapabilities()
    case .bar0:
      // CAP.DSTRD, bits 35 to 32 (NVM Express 1.4, 3.1.1).
      guard isNVMe, start <= 4, data.count > 4 - start else { return }
      doorbellStride = 4 << UInt64(data[4 - start] & 0xF)
    default: return
    }
  }

  /// Takes what was told of an interrupt type.
  mutating func learn(_ info: InterruptInfo) {
    if info.index == .msix { vectors = info.count }
  }

  /// Follows the list of capabilities (PCI 3.0, 6.7) as far as it was read.
  private mutating func followCapabilities() {
    capabilities = [:]
    guard let status = space[0x06], status & 0x10 != 0, let first = space[0x34] else { return }
    var place = Int(first & 0xFC)
    for _ in 0..<Self.mostCapabilities {
      guard place >= 0x40, let id = space[place], let next = space[place + 1] else { return }
      if capabilities[id] == nil { capabilities[id] = place }
      place = Int(next & 0xFC)
    }
  }

  /// Two bytes of configuration space that were read.
  private func word(_ place: Int) -> UInt16? {
    guard place + 1 < space.count, let low = space[place], let high = space[place + 1] else {
      return nil
    }
    return UInt16(low) | UInt16(high) << 8
  }

  /// What two replies say that cannot both be true; nothing the second time.
  mutating func contradiction() -> Violation? {
    guard !hasContradicted, let vectors, let place = capabilities[Self.msix],
      let control = word(place + 2)
    else { return nil }
    let size = UInt32(control & 0x7FF) + 1
    guard vectors != size else { return nil }
    hasContradicted = true
    return Violation(
      "PCI 3.0, 6.8.2 (MSI-X)",
      "DEVICE_GET_IRQ_INFO says \(vectors) MSI-X, the capability in configuration space has \(size)"
    )
  }

  /// The names of the registers that an access touches, where the header of configuration space has none.
  func registers(_ access: RegionAccess) -> String? {
    switch access.region {
    case .configuration:
      for (id, layout) in [(Self.msix, MSIRegisters.msix), (Self.msi, msiLayout)] {
        guard let place = capabilities[id].map(UInt64.init), access.offset >= place else {
          continue
        }
        if let name = layout.names(offset: access.offset - place, count: access.count) {
          return name
        }
      }
      return nil
    case .bar0:
      guard isNVMe else { return nil }
      return NVMeRegisters.names(
        offset: access.offset, count: access.count, stride: doorbellStride)
    default: return nil
    }
  }

  private var msiLayout: RegisterNames {
    let control = capabilities[Self.msi].flatMap { word($0 + 2) }
    return MSIRegisters.msi(control: control)
  }
}
