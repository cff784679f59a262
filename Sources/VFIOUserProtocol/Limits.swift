/// Limits for what a peer may request, and the specification's defaults.
public enum Limits {
  /// Maximum size of a message before negotiation in bytes, header included.
  public static let messageBeforeNegotiation = 64 << 10
  /// `max_data_xfer_size` if a peer does not specify it (specification, "Version").
  public static let defaultDataTransfer: UInt32 = 1 << 20
  /// The largest `max_data_xfer_size` we accept; QEMU refuses more.
  public static let maxDataTransfer: UInt32 = 64 << 20
  /// `max_msg_fds` if a peer does not specify it.
  public static let defaultMessageDescriptors = 1
  /// `max_dma_maps` if a peer does not specify it, and the largest value we accept.
  public static let defaultDMAWindows = 65535
  /// `pgsizes` if a peer does not specify it.
  public static let defaultPageSizes: UInt64 = 4096
  /// Maximum number of descriptors per message in the kernel (`SCM_MAX_FD`).
  public static let kernelMessageDescriptors = 253
}
