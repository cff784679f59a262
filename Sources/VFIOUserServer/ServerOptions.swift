public import Logging
internal import VFIOUserProtocol

/// What a server lets its clients do, and for how long it waits for them.
public struct ServerOptions: Sendable {
  /// Most bytes of one region access or migration transfer, and the `max_data_xfer_size` that a
  /// client is told at most; 4 KiB to 64 MiB.
  public var maxDataTransfer: UInt32 = Limits.defaultDataTransfer
  /// Most descriptors that are taken with one message (`max_msg_fds`).
  public var maxMessageDescriptors = 16
  /// Most windows of client memory (`max_dma_maps`).
  public var maxDMAWindows = Limits.defaultDMAWindows
  /// How long a message may take from its first byte to its last, in either direction.
  public var messageTimeout: Duration = .seconds(10)
  /// How long a new client may take to send its VERSION.
  public var negotiationTimeout: Duration = .seconds(10)
  /// Where the server says what it does.
  public var logger = Logger(label: "vfio-user.server")

  /// The defaults.
  public init() {}

  /// Largest message that a client may send after negotiation, header included.
  var messageLimit: Int {
    max(
      Limits.messageBeforeNegotiation,
      Header.wireSize + RegionAccess.wireSize + Int(maxDataTransfer))
  }
}
