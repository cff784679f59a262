public import Logging

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
  /// How long a client that takes a window back waits for the accesses to it, before it is told EBUSY.
  public var quiesceTimeout: Duration = .seconds(2)
  /// Most bytes of one DMA message.
  ///
  /// A client that sends without waiting, as QEMU does, must find room in its socket for all that
  /// is in flight: with the kernel's default of 208 KiB this and ``dmaMessagesInFlight`` leave half.
  public var dmaMessageSize = 32 << 10
  /// Most DMA messages that wait for their replies at the same time.
  public var dmaMessagesInFlight = 4
  /// How long the client may take for its next reply to a DMA message.
  public var dmaTimeout: Duration = .seconds(5)
  /// Whether to give the client a socket of its own for the server's commands, if it can do that.
  public var offersTwinSocket = true
  /// Whether to handle SIGBUS, with the first mapping, so that a client that truncates its memory
  /// gets the device an error instead of ending the process.
  ///
  /// The handler that was there before gets all other faults. One that is installed later has to do
  /// the same. Switch it off in a program that handles the signal in another way.
  public var handlesMemoryFaults = true
  /// Which files of the client's memory are mapped; a DMA_MAP with any other gets `ENOTSUP`.
  public var memoryFiles = MemoryFiles.memory
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
