public import Logging

/// The limits and timeouts of a server.
public struct ServerOptions: Sendable {
  /// Maximum number of bytes of one region access or migration transfer, and the largest `max_data_xfer_size`
  /// that a client is told; 4 KiB to 64 MiB.
  public var maxDataTransfer: UInt32 = Limits.defaultDataTransfer
  /// Maximum number of descriptors that are accepted with one message (`max_msg_fds`).
  public var maxMessageDescriptors = 16
  /// Maximum number of DMA windows (`max_dma_maps`).
  public var maxDMAWindows = Limits.defaultDMAWindows
  /// Maximum time from the first byte of a message to its last, in either direction.
  public var messageTimeout: Duration = .seconds(10)
  /// Maximum time until a new client has sent its VERSION.
  public var negotiationTimeout: Duration = .seconds(10)
  /// How long a DMA_UNMAP waits for accesses to its windows to end, before it is answered with EBUSY.
  public var quiesceTimeout: Duration = .seconds(2)
  /// Maximum number of bytes of data in one DMA message.
  ///
  /// A client that sends without waiting, as QEMU does, needs room in its socket for the replies to all
  /// messages in flight. With the defaults of this and ``dmaMessagesInFlight`` they take half of the kernel's
  /// default of 208 KiB.
  public var dmaMessageSize = 32 << 10
  /// Maximum number of DMA messages that wait for their replies at the same time.
  public var dmaMessagesInFlight = 4
  /// Maximum time until the client's next reply to a DMA message.
  public var dmaTimeout: Duration = .seconds(5)
  /// Whether to offer a twin socket for the server's commands to clients that support it.
  public var offersTwinSocket = true
  /// Whether to install a handler for SIGBUS with the first mapping, so that an access to memory that a
  /// client has truncated fails with an error instead of ending the process.
  ///
  /// The previous handler gets all other faults; a handler that is installed later has to pass them on in the
  /// same way. Set it to false in a program that handles SIGBUS itself.
  public var handlesMemoryFaults = true
  /// The kinds of files that are mapped as the client's memory; a DMA_MAP with another file gets `ENOTSUP`.
  public var memoryFiles = MemoryFiles.memory
  /// The log of the server.
  public var logger = Logger(label: "vfio-user.server")
  /// The level of the lines that say that a client has connected or is gone; a program that serves a
  /// device may want them at `info`.
  ///
  /// A client that is gone because of an error of this process or of the kernel is logged at `error`.
  public var clientLogLevel = Logger.Level.debug

  /// The name by which a new version of the program finds what this one has left of the device; nil if it need not.
  package var handoverName: String?

  /// The defaults.
  public init() {}

  /// Maximum size of a message of the client after negotiation, header included.
  var messageLimit: Int {
    max(
      Limits.messageBeforeNegotiation,
      Header.wireSize + RegionAccess.wireSize + Int(maxDataTransfer))
  }
}
