import VFIOUserClient
import VFIOUserProgram

/// Where a benchmark reads and writes.
///
/// Without a choice of the user it is where nothing can happen: it reads the vendor ID, and writes back what it has read
/// from Interrupt Line, which only software uses (PCI 3.0, section 6.2.4).
struct BenchPlace {
  /// The place that the user has chosen.
  let chosen: (region: RegionName, offset: UInt64)?
  /// Whether the user allows writes there.
  let allowsWrites: Bool

  var readRegion: RegionIndex { chosen?.region.index ?? .configuration }
  var readOffset: UInt64 { chosen?.offset ?? 0 }
  var writeRegion: RegionIndex { chosen?.region.index ?? .configuration }
  var writeOffset: UInt64 { chosen?.offset ?? 0x3C }
  /// Bytes of a small write: those of Interrupt Line, or of a register.
  var writeWidth: Int { chosen == nil ? 1 : 4 }

  var text: String {
    guard let chosen else { return "configuration space (read at 0x0, written back at 0x3c)" }
    return "\(chosen.region.text) at 0x\(hex(chosen.offset, 1))"
      + (allowsWrites ? ", read, and written back as it was" : ", read only")
  }

  /// - Throws: ``BenchRow/Skipped`` if writes are not allowed.
  func requireWrites() throws {
    guard chosen == nil || allowsWrites else {
      throw BenchRow.Skipped(reason: "writing at a place of your choice takes --allow-writes")
    }
  }

  /// Where a large block may be read: the user's place, or memory of a device that is known.
  func block(_ count: Int, of subject: BenchSubject) throws -> (region: RegionIndex, offset: UInt64)
  {
    let place: (RegionIndex, UInt64)
    if let chosen {
      place = (chosen.region.index, chosen.offset)
    } else if subject.kind == .scratch {
      place = (.bar1, 0)
    } else {
      throw BenchRow.Skipped(
        reason:
          "no memory of this device is known to be safe to read; choose with --region and --offset")
    }
    let limit = try subject.wire().capabilities.effectiveMaxDataTransfer
    guard count <= Int(limit) else {
      throw BenchRow.Skipped(
        reason: "the server takes at most \(byteCount(UInt64(limit))) a message")
    }
    let size = try subject.size(of: place.0)
    let (end, wraps) = place.1.addingReportingOverflow(UInt64(count))
    guard !wraps, end <= size else {
      throw BenchRow.Skipped(
        reason:
          "\(RegionName.text(place.0)) has only \(byteCount(size)) (\(byteCount(UInt64(count))) wanted)"
      )
    }
    return place
  }
}
