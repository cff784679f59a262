/// The capabilities of a region: the list that follows ``RegionInfo``.
///
/// See `struct vfio_info_cap_header` and the specification, "VFIO region capabilities".
public struct RegionCapabilities: Equatable, Sendable {
  /// The areas that can be mapped; nil if mapping is not restricted to areas.
  public var sparseAreas: [SparseMapArea]?
  /// The purpose of a region beyond the standard ones (`struct vfio_region_info_cap_type`).
  public var type: RegionType?
  /// Whether the pages of the MSI-X table can be mapped too (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
  public var msixMappable: Bool
  /// IDs of capabilities in the list that this version does not know; never encoded.
  public var unknown: [RegionCapabilityID]

  /// Creates a list.
  public init(
    sparseAreas: [SparseMapArea]? = nil, type: RegionType? = nil, msixMappable: Bool = false
  ) {
    self.sparseAreas = sparseAreas
    self.type = type
    self.msixMappable = msixMappable
    self.unknown = []
  }

  /// Size of a capability's header in bytes.
  static let headerSize = 8
  /// Size of a sparse mmap capability without its areas, in bytes.
  static let sparseFixedSize = 16
  /// Size of a type capability in bytes.
  static let typeSize = 16

  /// Size of the list on the wire in bytes.
  public var wireSize: Int {
    let sparse = sparseAreas.map { Self.sparseFixedSize + $0.count * SparseMapArea.wireSize } ?? 0
    return sparse + (type == nil ? 0 : Self.typeSize) + (msixMappable ? Self.headerSize : 0)
  }

  /// Whether the list is empty.
  public var isEmpty: Bool { wireSize == 0 }

  /// Decodes the list that starts at `first`; all its offsets are relative to `payload`.
  ///
  /// Each offset must be beyond the end of the previous capability, so the chain cannot loop and no
  /// byte is read twice. If two capabilities have the same ID, the first one is used.
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

  /// Decodes the body of one capability and returns its size in bytes.
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

  /// Writes the list with its first capability at `start`.
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

/// The kind of a region capability (`VFIO_REGION_INFO_CAP_*`); an open set.
public struct RegionCapabilityID: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
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

/// The purpose of a region beyond the standard ones.
public struct RegionType: Equatable, Sendable {
  /// The type; each kind of bus driver has its own.
  public var type: UInt32
  /// The subtype within the type.
  public var subtype: UInt32

  /// Creates a region type.
  public init(type: UInt32, subtype: UInt32) {
    self.type = type
    self.subtype = subtype
  }
}

/// An area of a region that can be mapped (`struct vfio_region_sparse_mmap_area`).
public struct SparseMapArea: Equatable, Sendable {
  /// Size on the wire in bytes.
  static let wireSize = 16

  /// Offset of the area in the region.
  public var offset: UInt64
  /// Size of the area in bytes.
  public var size: UInt64

  /// Creates an area.
  public init(offset: UInt64, size: UInt64) {
    self.offset = offset
    self.size = size
  }

  /// Decodes `nr_areas`, a reserved word, and the areas.
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
