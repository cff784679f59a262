/// A part of a region whose accesses are sent to a file descriptor instead of in messages.
///
/// See `struct vfio_user_sub_region_ioeventfd`, `struct vfio_user_sub_region_ioregionfd` and the
/// specification, "Sub-Region IO FD info format".
public struct SubRegion: Equatable, Sendable {
  /// Size on the wire in bytes according to the specification.
  public static let wireSize = 40

  /// Offset of the sub-region in the region.
  ///
  /// Check it against the size of the region before use.
  public var offset: UInt64
  /// Size of the sub-region in bytes; 0 if accesses of any size match.
  public var size: UInt64
  /// Index of the descriptor among those sent with the message; several sub-regions may share one.
  public var descriptorIndex: UInt32
  /// The kind of descriptor.
  public var kind: SubRegionKind
  /// How to register the descriptor with KVM.
  ///
  /// The meaning of a bit depends on ``kind``.
  public var flags: SubRegionFlags
  /// For an ioeventfd the value to match (`datamatch`), for an ioregionfd the `user_data` of its
  /// messages.
  ///
  /// `user_data` is sent back to the server in each message.
  public var value: UInt64

  /// Creates a sub-region.
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

  /// Size in bytes of the form with shadow memory, as used by newer versions of libvfio-user.
  private static let shadowWireSize = 48

  /// Decodes one element of at least 40 bytes.
  ///
  /// libvfio-user added two fields for shadow memory before the value, which moved it by 8 bytes.
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

  /// Writes 40 bytes starting at `start`.
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

/// The kind of descriptor of a sub-region (`VFIO_USER_IO_FD_TYPE_*`); an open set.
public struct SubRegionKind: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `VFIO_USER_IO_FD_TYPE_IOEVENTFD`: an eventfd that counts the writes.
  public static let event = SubRegionKind(rawValue: 0)
  /// `VFIO_USER_IO_FD_TYPE_IOREGIONFD`: a socket that transfers the accesses.
  public static let region = SubRegionKind(rawValue: 1)
  /// `VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW` of libvfio-user: an eventfd plus shadow memory for the
  /// value.
  ///
  /// Not in the specification; the location of the memory is not decoded.
  public static let shadowEvent = SubRegionKind(rawValue: 2)
}

/// How to register the descriptor of a sub-region with KVM; the meaning depends on its kind.
public struct SubRegionFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// ioeventfd, `KVM_IOEVENTFD_FLAG_DATAMATCH`: only writes of ``SubRegion/value`` match.
  public static let dataMatch = SubRegionFlags(rawValue: 1 << 0)
  /// ioeventfd, `KVM_IOEVENTFD_FLAG_PIO`: the sub-region is in I/O port space.
  public static let portIO = SubRegionFlags(rawValue: 1 << 1)
  /// ioeventfd, `KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY`.
  public static let virtioCCWNotify = SubRegionFlags(rawValue: 1 << 3)
  /// ioregionfd, `KVM_IOREGION_PIO`: the sub-region is in I/O port space.
  public static let regionPortIO = SubRegionFlags(rawValue: 1 << 0)
  /// ioregionfd, `KVM_IOREGION_POSTED_WRITES`: writes are posted, without waiting for completion.
  public static let postedWrites = SubRegionFlags(rawValue: 1 << 1)
}
