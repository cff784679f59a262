/// What a region has beyond its fixed description: the list behind ``RegionInfo`` (`struct
/// vfio_info_cap_header` and what follows it; specification, "VFIO region capabilities").
public struct RegionCapabilities: Equatable, Sendable {
  /// The parts that can be mapped; nil when nothing restricts mapping to parts.
  public var sparseAreas: [SparseMapArea]?
  /// What a region beyond the standard ones is for (`struct vfio_region_info_cap_type`).
  public var type: RegionType?
  /// Whether the pages of the MSI-X table may be mapped too
  /// (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
  public var msixMappable: Bool
  /// Identities of capabilities in the list that this version does not know; never written.
  public var unknown: [RegionCapabilityID]

  /// Puts a list together.
  public init(
    sparseAreas: [SparseMapArea]? = nil, type: RegionType? = nil, msixMappable: Bool = false
  ) {
    self.sparseAreas = sparseAreas
    self.type = type
    self.msixMappable = msixMappable
    self.unknown = []
  }

  /// Bytes of every capability's own header.
  static let headerSize = 8
  /// Bytes in front of the areas of a sparse capability.
  static let sparseFixedSize = 16
  /// Bytes of a type capability.
  static let typeSize = 16

  /// Bytes of the list on the wire.
  public var wireSize: Int {
    let sparse = sparseAreas.map { Self.sparseFixedSize + $0.count * SparseMapArea.wireSize } ?? 0
    return sparse + (type == nil ? 0 : Self.typeSize) + (msixMappable ? Self.headerSize : 0)
  }

  /// Whether there is nothing to write.
  public var isEmpty: Bool { wireSize == 0 }

  /// Walks the list that starts at `first`, an offset into `payload` like all in the list.
  ///
  /// Each step has to lead behind the end of the capability before, so no list can lead in a circle
  /// and no byte is read twice. Of two capabilities with the same identity the first counts.
  public init(decoding payload: Span<UInt8>, from first: UInt32) throws(WireError) {
    self.init()
    var floor = RegionInfo.wireSize
    var next = first
    while next != 0 {
      guard let offset = Int(exactly: next), offset >= floor,
        offset <= payload.count - Self.headerSize
      else { throw .brokenChain(offset: next, within: payload.count) }
      let id = RegionCapabilityID(rawValue: payload.littleEndian(at: offset))
      next = payload.littleEndian(at: offset + 4)
      let body = payload.extracting((offset + Self.headerSize)..<payload.count)
      floor = offset + Self.headerSize + (try take(id, body))
    }
  }

  /// Reads what stands behind one capability's header and says how many bytes that was.
  private mutating func take(
    _ id: RegionCapabilityID, _ body: Span<UInt8>
  ) throws(WireError) -> Int {
    switch id {
    case .sparseMap:
      let areas = try SparseMapArea.list(decoding: body)
      sparseAreas = sparseAreas ?? areas
      return 8 + areas.count * SparseMapArea.wireSize
    case .type:
      try body.require(8)
      let found = RegionType(
        type: body.littleEndian(at: 0), subtype: body.littleEndian(at: 4))
      type = type ?? found
      return 8
    case .msixMappable:
      msixMappable = true
      return 0
    default:
      unknown.append(id)
      return 0
    }
  }

  /// Writes the list so that its first capability stands at `start`.
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan, at start: Int) {
    let end = start + wireSize
    var offset = start
    if let sparseAreas {
      let size = Self.sparseFixedSize + sparseAreas.count * SparseMapArea.wireSize
      header(.sparseMap, version: 1, size: size, end: end, into: &bytes, at: offset)
      bytes.storeLittleEndian(UInt32(sparseAreas.count), at: offset + 8)
      bytes.storeLittleEndian(UInt32(0), at: offset + 12)
      for (number, area) in sparseAreas.enumerated() {
        let place = offset + Self.sparseFixedSize + number * SparseMapArea.wireSize
        bytes.storeLittleEndian(area.offset, at: place)
        bytes.storeLittleEndian(area.size, at: place + 8)
      }
      offset += size
    }
    if let type {
      header(.type, version: 1, size: Self.typeSize, end: end, into: &bytes, at: offset)
      bytes.storeLittleEndian(type.type, at: offset + 8)
      bytes.storeLittleEndian(type.subtype, at: offset + 12)
      offset += Self.typeSize
    }
    if msixMappable {
      header(.msixMappable, version: 1, size: Self.headerSize, end: end, into: &bytes, at: offset)
    }
  }

  @_lifetime(bytes: copy bytes)
  private func header(
    _ id: RegionCapabilityID, version: UInt16, size: Int, end: Int,
    into bytes: inout MutableRawSpan, at offset: Int
  ) {
    let next = offset + size
    bytes.storeLittleEndian(id.rawValue, at: offset)
    bytes.storeLittleEndian(version, at: offset + 2)
    bytes.storeLittleEndian(next == end ? 0 : UInt32(next), at: offset + 4)
  }
}

/// What a capability of a region is about (`VFIO_REGION_INFO_CAP_*`); an open set.
public struct RegionCapabilityID: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: UInt16

  /// Wraps any number, known or not.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`.
  public static let sparseMap = RegionCapabilityID(rawValue: 1)
  /// `VFIO_REGION_INFO_CAP_TYPE`.
  public static let type = RegionCapabilityID(rawValue: 2)
  /// `VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`.
  public static let msixMappable = RegionCapabilityID(rawValue: 3)
}

/// What a region beyond the standard ones is for.
public struct RegionType: Equatable, Sendable {
  /// The family, one for each kind of bus driver.
  public var type: UInt32
  /// The member of the family.
  public var subtype: UInt32

  /// Pairs the two numbers.
  public init(type: UInt32, subtype: UInt32) {
    self.type = type
    self.subtype = subtype
  }
}

/// A part of a region that can be mapped (`struct vfio_region_sparse_mmap_area`).
public struct SparseMapArea: Equatable, Sendable {
  /// Bytes on the wire.
  static let wireSize = 16

  /// Where in the region the part starts.
  public var offset: UInt64
  /// Bytes of the part.
  public var size: UInt64

  /// Describes a part.
  public init(offset: UInt64, size: UInt64) {
    self.offset = offset
    self.size = size
  }

  /// Reads `nr_areas`, a reserved word, and that many areas.
  fileprivate static func list(decoding body: Span<UInt8>) throws(WireError) -> [SparseMapArea] {
    try body.require(8)
    let count: UInt32 = body.littleEndian(at: 0)
    try body.require(VFIOUserProtocol.wireSize(8, plus: UInt64(count), of: UInt64(wireSize)))
    return (0..<Int(count)).map { number in
      let place = 8 + number * wireSize
      return SparseMapArea(
        offset: body.littleEndian(at: place), size: body.littleEndian(at: place + 8))
    }
  }
}
