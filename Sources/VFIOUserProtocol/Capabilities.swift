/// What the sender of a VERSION message can do (specification, "Version").
///
/// `nil` means that the sender does not say; the `effective…` properties put the specification's
/// default in its place.
public struct Capabilities: Equatable, Sendable {
  /// `max_msg_fds`: most descriptors that the sender receives with one message.
  public var maxMessageDescriptors: Int?
  /// `max_data_xfer_size`: most bytes of data in one message to the sender.
  public var maxDataTransfer: UInt32?
  /// `max_dma_maps`: most windows of memory at the same time.
  public var maxDMAWindows: Int?
  /// `pgsizes`: page sizes that DMA_MAP may be made of, each a bit.
  public var pageSizes: UInt64?
  /// `twin_socket`: a socket of their own for commands of the server.
  public var twinSocket: TwinSocket?
  /// `write_multiple`: whether REGION_WRITE_MULTI may be used.
  public var writeMultiple: Bool?
  /// `migration`: limits of dirty bitmaps; not in the specification, but QEMU and libvfio-user
  /// have it.
  public var migration: MigrationCapability?
  /// Names that a received message had and this version does not know, sorted; never written.
  public var unknownNames: [String]

  /// Puts capabilities together.
  public init(
    maxMessageDescriptors: Int? = nil, maxDataTransfer: UInt32? = nil, maxDMAWindows: Int? = nil,
    pageSizes: UInt64? = nil, twinSocket: TwinSocket? = nil, writeMultiple: Bool? = nil,
    migration: MigrationCapability? = nil
  ) {
    self.maxMessageDescriptors = maxMessageDescriptors
    self.maxDataTransfer = maxDataTransfer
    self.maxDMAWindows = maxDMAWindows
    self.pageSizes = pageSizes
    self.twinSocket = twinSocket
    self.writeMultiple = writeMultiple
    self.migration = migration
    self.unknownNames = []
  }

  /// ``maxMessageDescriptors`` or 1.
  public var effectiveMaxMessageDescriptors: Int {
    maxMessageDescriptors ?? Limits.defaultMessageDescriptors
  }
  /// ``maxDataTransfer`` or 1 MiB.
  public var effectiveMaxDataTransfer: UInt32 { maxDataTransfer ?? Limits.defaultDataTransfer }
  /// ``maxDMAWindows`` or 65535.
  public var effectiveMaxDMAWindows: Int { maxDMAWindows ?? Limits.defaultDMAWindows }
  /// ``pageSizes`` or pages of 4 KiB only.
  public var effectivePageSizes: UInt64 { pageSizes ?? Limits.defaultPageSizes }
  /// ``writeMultiple`` or not.
  public var effectiveWriteMultiple: Bool { writeMultiple ?? false }
  /// ``twinSocket`` or one that is not supported.
  public var effectiveTwinSocket: TwinSocket { twinSocket ?? TwinSocket(supported: false) }
}

/// The parameters of a second socket for the server's commands.
public struct TwinSocket: Equatable, Sendable {
  /// `supported`: in the request, that the client can do it; in the reply, that it is so.
  public var supported: Bool
  /// `fd_index`: which of the reply's descriptors is the socket.
  public var descriptorIndex: Int?

  /// Puts the parameters together.
  public init(supported: Bool, descriptorIndex: Int? = nil) {
    self.supported = supported
    self.descriptorIndex = descriptorIndex
  }
}

/// The limits of dirty bitmaps.
public struct MigrationCapability: Equatable, Sendable {
  /// `pgsize`: how much one bit stands for, a power of two.
  public var pageSize: UInt64?
  /// `max_bitmap_size`: most bytes of one bitmap.
  public var maxBitmapSize: UInt64?

  /// Puts the limits together.
  public init(pageSize: UInt64? = nil, maxBitmapSize: UInt64? = nil) {
    self.pageSize = pageSize
    self.maxBitmapSize = maxBitmapSize
  }
}
