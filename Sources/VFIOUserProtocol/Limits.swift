/// Numbers that bound what a peer may ask for, and the specification's defaults.
public enum Limits {
  /// Largest message before the version was negotiated, header included.
  public static let messageBeforeNegotiation = 64 << 10
  /// `max_data_xfer_size` when a peer names none (specification, "Version").
  public static let defaultDataTransfer: UInt32 = 1 << 20
  /// Most that we take for `max_data_xfer_size`; QEMU refuses more.
  public static let maxDataTransfer: UInt32 = 64 << 20
  /// `max_msg_fds` when a peer names none.
  public static let defaultMessageDescriptors = 1
  /// `max_dma_maps` when a peer names none, and the most that we take.
  public static let defaultDMAWindows = 65535
  /// `pgsizes` when a peer names none.
  public static let defaultPageSizes: UInt64 = 4096
  /// Most descriptors that the kernel carries with one message (`SCM_MAX_FD`).
  public static let kernelMessageDescriptors = 253
}
