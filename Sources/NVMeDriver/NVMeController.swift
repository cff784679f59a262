public import NVMeProtocol
public import VFIOUserClient
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// An NVMe controller behind a vfio-user socket, driven without a virtual machine.
///
/// For tools and tests: one thread at a time, contiguous queues, pages of 4096 bytes. Everything that a
/// controller could be told is within reach (``register(_:)``, ``QueuePair/write(_:at:)``), also what it
/// should refuse.
public final class NVMeController {
  /// The connection to the device.
  public let client: Client
  /// The memory that the device reaches.
  public let arena: DMAArena
  /// CAP, as it was in the beginning.
  public let capabilities: ControllerCapabilities
  /// How the answers to commands are noticed.
  public let noticing: CompletionMode
  /// The admin queue, while the controller is enabled.
  public internal(set) var admin: QueuePair?
  /// The I/O queues that were created, by number.
  public internal(set) var queues: [UInt16: QueuePair] = [:]
  var shadow: ShadowDoorbells?
  /// Events that the controller has answered requests with, and that nobody has taken.
  public internal(set) var events: [AsynchronousEvent] = []
  /// The requests for events that are with the controller.
  var eventRequests: Set<UInt16> = []

  /// How answers are noticed.
  public enum CompletionMode: Sendable {
    /// By MSI-X interrupts, one vector for each queue.
    case interrupts
    /// By looking, again and again.
    case polling
  }

  /// Looks at a device; it is not enabled yet.
  ///
  /// - Parameters:
  ///   - client: a connection to the device.
  ///   - memorySize: bytes that are shared with it for queues and data, in whole pages.
  ///   - noticing: how answers are noticed.
  ///   - isShared: whether the device gets the memory itself, or reaches it by messages.
  /// - Throws: ``NVMeDriverError/unsuitable(_:)`` for a device that is not an NVMe controller.
  public init(
    _ client: Client, memorySize: Int = 16 << 20, noticing: CompletionMode = .interrupts,
    isShared: Bool = true
  ) throws(NVMeDriverError) {
    self.client = client
    self.noticing = noticing
    let (classCode, bar, rawCapabilities) = try throughClient { () throws(ClientError) in
      (
        try client.read(.configuration, at: 8, count: 4), try client.region(.bar0).size,
        try client.load(.bar0, at: RegisterOffset.capabilities, as: UInt64.self)
      )
    }
    guard classCode[3] == 1, classCode[2] == 8, classCode[1] == 2 else {
      throw .unsuitable("the device is not an NVMe controller")
    }
    capabilities = ControllerCapabilities(rawValue: rawCapabilities)
    guard bar >= 0x1000 + 16, capabilities.minimumPageSize == 0, capabilities.doorbellStride < 10
    else { throw .unsuitable("the controller has no pages of 4096 bytes, or no doorbells") }
    arena = try DMAArena(client, size: memorySize, isShared: isShared)
    try throughClient { () throws(ClientError) in
      // Memory space and bus master.
      let command: UInt16 = try client.load(.configuration, at: 4)
      try client.store(command | 0b110, .configuration, at: 4)
    }
  }

  /// A register of 32 bits.
  public func register(_ offset: UInt64) throws(NVMeDriverError) -> UInt32 {
    try throughClient { () throws(ClientError) in try client.load(.bar0, at: offset) }
  }

  /// Writes a register of 32 bits.
  public func setRegister(_ offset: UInt64, _ value: UInt32) throws(NVMeDriverError) {
    try throughClient { () throws(ClientError) in try client.store(value, .bar0, at: offset) }
  }

  /// Writes a register of 64 bits.
  public func setRegister(_ offset: UInt64, wide value: UInt64) throws(NVMeDriverError) {
    try throughClient { () throws(ClientError) in try client.store(value, .bar0, at: offset) }
  }

  /// CSTS.
  public var status: ControllerStatus {
    get throws(NVMeDriverError) {
      ControllerStatus(rawValue: try register(RegisterOffset.status))
    }
  }

  /// CC.
  public var configuration: ControllerConfiguration {
    get throws(NVMeDriverError) {
      ControllerConfiguration(rawValue: try register(RegisterOffset.configuration))
    }
  }
}
