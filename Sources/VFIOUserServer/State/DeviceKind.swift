internal import VFIOUserProtocol

/// What a device is: a state is loaded into one of the same kind only.
struct DeviceKind: Codable, Equatable, Sendable {
  var vendor: UInt16
  var device: UInt16
  var subsystemVendor: UInt16
  var subsystem: UInt16
  /// Bytes of each region, by index.
  var regions: [UInt64]
  /// Bytes of the memory behind each region, 0 where the device answers.
  var memories: [UInt64]
  var hasINTx: Bool
  var vectorsOfMSI: Int
  var vectorsOfMSIX: Int

  /// What is different, in a sentence; nil when nothing is.
  func difference(from other: DeviceKind) -> String? {
    if vendor != other.vendor || device != other.device {
      return
        "it is of \(Self.name(other.vendor, other.device)), this is \(Self.name(vendor, device))"
    }
    if subsystemVendor != other.subsystemVendor || subsystem != other.subsystem {
      return """
        its subsystem is \(Self.name(other.subsystemVendor, other.subsystem)), this one's is \
        \(Self.name(subsystemVendor, subsystem))
        """
    }
    if regions != other.regions {
      return "its regions have \(other.regions) bytes, those here \(regions)"
    }
    if memories != other.memories {
      return "behind its regions are \(other.memories) bytes of memory, here are \(memories)"
    }
    if hasINTx != other.hasINTx { return "one of the two has no interrupt pin" }
    if vectorsOfMSI != other.vectorsOfMSI {
      return "it has \(other.vectorsOfMSI) vectors of MSI, this has \(vectorsOfMSI)"
    }
    if vectorsOfMSIX != other.vectorsOfMSIX {
      return "it has \(other.vectorsOfMSIX) vectors of MSI-X, this has \(vectorsOfMSIX)"
    }
    return nil
  }

  private static func name(_ vendor: UInt16, _ device: UInt16) -> String {
    "\(String(vendor, radix: 16)):\(String(device, radix: 16))"
  }
}

extension DeviceKind {
  init(_ description: PCIDescription, _ regions: RegionSet, _ interrupts: Interrupts) {
    let identity = description.identity
    let all = (0..<regions.count).map { regions[RegionIndex(rawValue: UInt32($0))] }
    self.init(
      vendor: identity.vendor, device: identity.device, subsystemVendor: identity.subsystemVendor,
      subsystem: identity.subsystem,
      regions: all.map { $0?.size ?? 0 }, memories: all.map { $0?.memory?.size ?? 0 },
      hasINTx: interrupts.hasINTx, vectorsOfMSI: interrupts.counts.msi,
      vectorsOfMSIX: interrupts.counts.msix)
  }
}
