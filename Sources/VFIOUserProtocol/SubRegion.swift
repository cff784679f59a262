/// A part of a region whose accesses arrive through a descriptor instead of a message (`struct
/// vfio_user_sub_region_ioeventfd`, `struct vfio_user_sub_region_ioregionfd`; specification,
/// "Sub-Region IO FD info format").
public struct SubRegion: Equatable, Sendable {
  /// Bytes on the wire as the specification has it.
  public static let wireSize = 40

  /// Where in the region the part starts.
  ///
  /// Compare it with the region before you rely on it.
  public var offset: UInt64
  /// Bytes of the part; 0 when any size of access counts.
  public var size: UInt64
  /// Which of the accompanying descriptors is meant; several parts may share one.
  public var descriptorIndex: UInt32
  /// What the descriptor is.
  public var kind: SubRegionKind
  /// How to install it.
  ///
  /// The meaning of a bit depends on ``kind``.
  public var flags: SubRegionFlags
  /// For an event descriptor the value that has to be written (`datamatch`), for a region descriptor
  /// what its messages carry back to the server (`user_data`).
  public var value: UInt64

  /// Describes a part.
  public init(
    kind: SubRegionKind, offset: UInt64, size: UInt64, descriptorIndex: UInt32,
    flags: SubRegionFlags = [], value: UInt64 = 0
  ) {
    self.kind = kind
    self.offset = offset
    self.size = size
    self.descriptorIndex = descriptorIndex
    self.flags = flags
    self.value = value
  }

  /// Bytes of the form that libvfio-user uses since it knows shadow memory.
  private static let shadowWireSize = 48

  /// Reads one element that is at least 40 bytes long.
  ///
  /// libvfio-user put two fields for shadow memory in front of the value and so moved it by 8 bytes.
  init(decoding element: Span<UInt8>) {
    offset = element.littleEndian(at: 0)
    size = element.littleEndian(at: 8)
    descriptorIndex = element.littleEndian(at: 16)
    kind = SubRegionKind(rawValue: element.littleEndian(at: 20))
    flags = SubRegionFlags(rawValue: element.littleEndian(at: 24))
    let hasShadow = kind == .event || kind == .shadowEvent
    let moved = hasShadow && element.count == Self.shadowWireSize
    value = element.littleEndian(at: moved ? 40 : 32)
  }

  /// Writes 40 bytes so that the first stands at `start`.
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan, at start: Int) {
    bytes.storeLittleEndian(offset, at: start)
    bytes.storeLittleEndian(size, at: start + 8)
    bytes.storeLittleEndian(descriptorIndex, at: start + 16)
    bytes.storeLittleEndian(kind.rawValue, at: start + 20)
    bytes.storeLittleEndian(flags.rawValue, at: start + 24)
    bytes.storeLittleEndian(UInt32(0), at: start + 28)
    bytes.storeLittleEndian(value, at: start + 32)
  }
}

/// What the descriptor of a sub-region is (`VFIO_USER_IO_FD_TYPE_*`); an open set.
public struct SubRegionKind: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `VFIO_USER_IO_FD_TYPE_IOEVENTFD`: an eventfd counts the writes.
  public static let event = SubRegionKind(rawValue: 0)
  /// `VFIO_USER_IO_FD_TYPE_IOREGIONFD`: a socket carries the accesses.
  public static let region = SubRegionKind(rawValue: 1)
  /// `VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW` of libvfio-user: an eventfd and memory for the value.
  ///
  /// Not in the specification; where the memory is does not survive reading.
  public static let shadowEvent = SubRegionKind(rawValue: 2)
}

/// How a descriptor of a sub-region is installed in KVM; each kind gives the bits its own meaning.
public struct SubRegionFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Events, `KVM_IOEVENTFD_FLAG_DATAMATCH`: only writes of ``SubRegion/value`` count.
  public static let dataMatch = SubRegionFlags(rawValue: 1 << 0)
  /// Events, `KVM_IOEVENTFD_FLAG_PIO`: the part is in the space of I/O ports.
  public static let portIO = SubRegionFlags(rawValue: 1 << 1)
  /// Events, `KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY`.
  public static let virtioCCWNotify = SubRegionFlags(rawValue: 1 << 3)
  /// Regions, `KVM_IOREGION_PIO`: the part is in the space of I/O ports.
  public static let regionPortIO = SubRegionFlags(rawValue: 1 << 0)
  /// Regions, `KVM_IOREGION_POSTED_WRITES`: nobody waits for a write.
  public static let postedWrites = SubRegionFlags(rawValue: 1 << 1)
}
