/// Who answers accesses to a region.
@nonexhaustive
public enum RegionBacking: Equatable, Sendable {
  /// The device: every access calls it.
  case callbacks
  /// The framework, from memory of the size of the region; see ``DeviceContext/memory(of:)``.
  ///
  /// - `mappable`: the parts that the client may map, and then uses without a message.
  /// - `notifying`: whether the device is told of writes that come as messages
  ///   (``Device/memoryWritten(_:)``).
  case memory(mappable: Mappable = .everything, notifying: Bool = false)
  /// Memory in these areas, which the client may map; the device answers for the rest.
  ///
  /// For doorbell pages beside registers.
  case memoryAreas([Range<UInt64>], notifying: Bool = false)

  /// What a client may map of a region of memory.
  @nonexhaustive
  public enum Mappable: Equatable, Sendable {
    /// All of it.
    case everything
    /// Areas of whole pages (4096 bytes).
    case areas([Range<UInt64>])
    /// None of it: memory that is only reached by messages.
    case nothing
  }

  /// Whether there is memory behind the region.
  var hasMemory: Bool { self != .callbacks }

  /// Whether the device hears of writes to the memory.
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

/// A region that only this kind of device has (index 9 and up).
public struct DeviceRegion: Equatable, Sendable {
  /// What it is for (`VFIO_REGION_INFO_CAP_TYPE`).
  public var type: RegionType
  /// Bytes.
  public var size: UInt64
  /// Who answers accesses.
  public var backing: RegionBacking
  /// Whether clients may write to it by message.
  ///
  /// Memory that a client has mapped it can write, whatever is said here.
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

/// A part of a region whose accesses can arrive through a descriptor instead of a message
/// (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`).
///
/// Clients that know of it have their kernel signal the descriptor. Others go on sending messages, so
/// the device still has to answer accesses there.
public struct IOEventArea: Equatable, Sendable {
  /// How accesses arrive.
  public enum Channel: Equatable, Sendable {
    /// An eventfd counts the writes; with `matching`, those of one value.
    case event(matching: UInt64? = nil)
    /// A socket carries the accesses (ioregionfd), and `userData` with each.
    case accesses(userData: UInt64 = 0, posted: Bool = false)
  }

  /// What the device calls it; areas of the same name share a descriptor.
  public var name: String
  /// The region.
  public var region: RegionIndex
  /// Where in the region the part starts.
  public var offset: UInt64
  /// Bytes of the part; 0 when any width of access at the offset counts.
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
