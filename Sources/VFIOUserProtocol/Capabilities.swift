/// The capabilities of the sender of a VERSION message (specification, "Version").
///
/// `nil` means that the sender did not specify a value; the `effective…` properties return the
/// specification's default instead.
public struct Capabilities: Equatable, Sendable {
  /// `max_msg_fds`: maximum number of descriptors that the sender receives with one message.
  public var maxMessageDescriptors: Int?
  /// `max_data_xfer_size`: maximum number of data bytes in one message to the sender.
  public var maxDataTransfer: UInt32?
  /// `max_dma_maps`: maximum number of DMA windows at the same time.
  public var maxDMAWindows: Int?
  /// `pgsizes`: supported page sizes for DMA_MAP, as a bit mask.
  public var pageSizes: UInt64?
  /// `twin_socket`: a separate socket for commands of the server.
  public var twinSocket: TwinSocket?
  /// `write_multiple`: whether REGION_WRITE_MULTI is supported.
  public var writeMultiple: Bool?
  /// `migration`: limits of dirty bitmaps; not in the specification, but used by QEMU and
  /// libvfio-user.
  public var migration: MigrationCapability?
  /// Names in a received message that this version does not know, sorted; never encoded.
  public var unknownNames: [String]

  /// Creates capabilities; those left out are not encoded.
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

  /// ``maxMessageDescriptors``, or the default of 1.
  public var effectiveMaxMessageDescriptors: Int {
    maxMessageDescriptors ?? Limits.defaultMessageDescriptors
  }
  /// ``maxDataTransfer``, or the default of 1 MiB.
  public var effectiveMaxDataTransfer: UInt32 { maxDataTransfer ?? Limits.defaultDataTransfer }
  /// ``maxDMAWindows``, or the default of 65535.
  public var effectiveMaxDMAWindows: Int { maxDMAWindows ?? Limits.defaultDMAWindows }
  /// ``pageSizes``, or the default of 4 KiB pages only.
  public var effectivePageSizes: UInt64 { pageSizes ?? Limits.defaultPageSizes }
  /// ``writeMultiple``, or the default of false.
  public var effectiveWriteMultiple: Bool { writeMultiple ?? false }
  /// ``twinSocket``, or the default: not supported.
  public var effectiveTwinSocket: TwinSocket { twinSocket ?? TwinSocket(supported: false) }
}

/// The parameters of the twin socket, a second socket for commands of the server.
public struct TwinSocket: Equatable, Sendable {
  /// `supported`: in the request, whether the client supports it; in the reply, whether it is used.
  public var supported: Bool
  /// `fd_index`: index of the socket among the descriptors of the reply.
  public var descriptorIndex: Int?

  /// Creates the parameters.
  public init(supported: Bool, descriptorIndex: Int? = nil) {
    self.supported = supported
    self.descriptorIndex = descriptorIndex
  }
}

/// The limits of dirty bitmaps.
public struct MigrationCapability: Equatable, Sendable {
  /// `pgsize`: number of bytes that one bit stands for, a power of two.
  public var pageSize: UInt64?
  /// `max_bitmap_size`: maximum size of one bitmap in bytes.
  public var maxBitmapSize: UInt64?

  /// Creates the limits.
  public init(pageSize: UInt64? = nil, maxBitmapSize: UInt64? = nil) {
    self.pageSize = pageSize
    self.maxBitmapSize = maxBitmapSize
  }
}
