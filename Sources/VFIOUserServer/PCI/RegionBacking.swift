/// What answers accesses to a region: the device, or the framework from memory.
@nonexhaustive
public enum RegionBacking: Equatable, Sendable {
  /// Every access calls the device.
  case callbacks
  /// The framework answers from memory of the region's size; see ``DeviceContext/memory(of:)``.
  ///
  /// - `mappable`: the parts that the client may map and then access without messages.
  /// - `notifying`: whether writes by message call ``Device/memoryWritten(_:)``.
  case memory(mappable: Mappable = .everything, notifying: Bool = false)
  /// These areas are memory that the client may map; other accesses call the device.
  ///
  /// For pages of doorbells beside registers.
  case memoryAreas([Range<UInt64>], notifying: Bool = false)

  /// The parts of a region's memory that a client may map.
  @nonexhaustive
  public enum Mappable: Equatable, Sendable {
    /// All of it.
    case everything
    /// Areas of whole pages (4096 bytes).
    case areas([Range<UInt64>])
    /// None of it; the memory is accessed by messages only.
    case nothing
  }

  /// Whether there is memory behind the region.
  var hasMemory: Bool { self != .callbacks }

  /// Whether writes to the memory are reported to the device.
  var isNotifying: Bool {
    switch self {
    case .callbacks: false
    case .memory(_, let notifying), .memoryAreas(_, let notifying): notifying
    }
  }

  /// The areas that can be mapped, nil for all of the region.
  var mappableAreas: [Range<UInt64>]? {
    switch self {
    case .callbacks, .memory(.nothing, _): []
    case .memory(.everything, _): nil
    case .memory(.areas(let areas), _), .memoryAreas(let areas, _): areas
    }
  }
}

/// A device-specific region (index 9 and up).
public struct DeviceRegion: Equatable, Sendable {
  /// The type (`VFIO_REGION_INFO_CAP_TYPE`).
  public var type: RegionType
  /// Bytes.
  public var size: UInt64
  /// What answers accesses: the device, or the framework from memory.
  public var backing: RegionBacking
  /// Whether clients may write to it with messages.
  ///
  /// Memory that the client has mapped is writable in any case.
  public var isWritable: Bool

  /// Describes a region.
  public init(
    type: RegionType, size: UInt64, backing: RegionBacking = .callbacks, isWritable: Bool = true
  ) {
    self.type = type
    self.size = size
    self.backing = backing
    self.isWritable = isWritable
  }
}

/// A part of a region in which accesses can arrive through a descriptor instead of a message
/// (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`).
///
/// A client that uses it installs the descriptor in its kernel. Other clients send messages, so the device
/// still has to answer accesses there.
public struct IOEventArea: Equatable, Sendable {
  /// How accesses arrive.
  public enum Channel: Equatable, Sendable {
    /// An eventfd counts the writes; with `matching`, only the writes of that value.
    case event(matching: UInt64? = nil)
    /// A socket carries the accesses (ioregionfd), each with `userData`.
    case accesses(userData: UInt64 = 0, posted: Bool = false)
  }

  /// The name, for ``DeviceContext``; areas with the same name share a descriptor.
  public var name: String
  /// The region.
  public var region: RegionIndex
  /// Offset of the part in the region.
  public var offset: UInt64
  /// Size of the part in bytes; 0 for accesses of any width at the offset.
  public var size: UInt64
  /// How accesses arrive.
  public var channel: Channel

  /// Describes a part.
  public init(
    _ name: String, in region: RegionIndex, at offset: UInt64, size: UInt64 = 0,
    _ channel: Channel = .event()
  ) {
    self.name = name
    self.region = region
    self.offset = offset
    self.size = size
    self.channel = channel
  }
}
