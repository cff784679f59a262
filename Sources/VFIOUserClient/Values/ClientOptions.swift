/// What a client proposes, and for how long it waits.
public struct ClientOptions: Sendable {
  /// What the VERSION message proposes.
  ///
  /// `max_data_xfer_size` also bounds the DMA requests that the server may send; no more than
  /// ``Limits/maxDataTransfer`` is proposed.
  public var proposal: Capabilities
  /// How long a command may take from sending to reply, unless a call says otherwise.
  public var timeout: Duration = .seconds(5)
  /// How long a message of the server may take from its first byte to its last.
  public var messageTimeout: Duration = .seconds(10)
  /// Most bytes of one region access that are asked for, whatever the server would take; no more than
  /// ``Limits/maxDataTransfer``.
  public var maxAccess: UInt32 = Limits.defaultDataTransfer
  /// Most requests of the server that wait for the handler; one more is answered with `EBUSY`.
  public var requestLimit = 64
  /// Gets what registered memory does not answer; without it such requests get `ENOSYS`.
  public var handler: RequestHandler?
  /// Whether posted writes are sent without waiting for an answer; switched off, they wait
  /// (QEMU's `x-no-posted-writes`).
  public var postsWrites = true
  /// Which files of the server's regions are mapped.
  public var memoryFiles = MemoryFiles.memory
  /// What happens when the connection is lost.
  public var reconnection = Reconnection.off
  /// Sees what happens; nil costs nothing.
  public var trace: (any TraceSink)?

  /// The defaults: what QEMU proposes without migration, and a twin socket.
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
  /// The same with no number that a message could not hold.
  var bounded: ClientOptions {
    var options = self
    options.proposal.maxDataTransfer = proposal.maxDataTransfer.map {
      min($0, Limits.maxDataTransfer)
    }
    options.maxAccess = min(maxAccess, Limits.maxDataTransfer)
    return options
  }
}
