/// The options of a client: proposed capabilities, limits, timeouts, handlers.
public struct ClientOptions: Sendable {
  /// The capabilities that the VERSION message proposes.
  ///
  /// `max_data_xfer_size` also bounds the DMA requests that the server may send; no more than
  /// ``/VFIOUserProtocol/Limits/maxDataTransfer`` is proposed.
  public var proposal: Capabilities
  /// Maximum time from a command to its reply, unless a call has its own timeout.
  public var timeout: Duration = .seconds(5)
  /// Maximum time from the first byte of a server's message to its last.
  public var messageTimeout: Duration = .seconds(10)
  /// Maximum number of bytes of one region access, if the server's limit is not lower; at most
  /// ``/VFIOUserProtocol/Limits/maxDataTransfer``.
  public var maxAccess: UInt32 = Limits.defaultDataTransfer
  /// Maximum number of the server's requests that wait for the handler; further ones are answered with
  /// `EBUSY`.
  public var requestLimit = 64
  /// Handles the requests that registered memory does not answer; without a handler they are answered with
  /// `ENOSYS`.
  public var handler: RequestHandler?
  /// Whether posted writes have no reply; if false, they wait for one (QEMU's `x-no-posted-writes`).
  public var postsWrites = true
  /// The kinds of files that are mapped as the server's regions.
  public var memoryFiles = MemoryFiles.memory
  /// Whether to reconnect when the connection is lost.
  public var reconnection = Reconnection.off
  /// Receives trace events.
  public var trace: (any TraceSink)?

  /// The defaults: QEMU's capabilities without migration, and a twin socket.
  public init() {
    proposal = Capabilities()
    proposal.maxMessageDescriptors = 16
    proposal.maxDataTransfer = Limits.defaultDataTransfer
    proposal.maxDMAWindows = Limits.defaultDMAWindows
    proposal.pageSizes = Limits.defaultPageSizes
    proposal.writeMultiple = true
    proposal.twinSocket = TwinSocket(supported: true)
  }
}

extension ClientOptions {
  /// The same options, with numbers limited to what a message can hold.
  var bounded: ClientOptions {
    var options = self
    options.proposal.maxDataTransfer = proposal.maxDataTransfer.map {
      min($0, Limits.maxDataTransfer)
    }
    options.maxAccess = min(maxAccess, Limits.maxDataTransfer)
    return options
  }
}
