public import VFIOUserProtocol

/// What a client proposes, and for how long it waits.
public struct ClientOptions: Sendable {
  /// What the VERSION message proposes.
  public var proposal: Capabilities
  /// How long a command may take from sending to reply.
  public var timeout: Duration = .seconds(5)
  /// Most bytes of one region access that is asked for, whatever the server would take.
  public var largestAccess: UInt32 = Limits.defaultDataTransfer

  /// The defaults: what QEMU proposes, without migration.
  public init() {
    proposal = Capabilities()
    proposal.maxMessageDescriptors = 16
    proposal.maxDataTransfer = Limits.defaultDataTransfer
    proposal.maxDMAWindows = Limits.defaultDMAWindows
    proposal.pageSizes = Limits.defaultPageSizes
    proposal.writeMultiple = true
  }
}
