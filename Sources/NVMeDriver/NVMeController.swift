/// An NVMe controller behind a vfio-user socket, driven without a virtual machine.
///
/// For tools and tests: one thread at a time, contiguous queues, pages of 4096 bytes. Any register
/// and queue entry can be written (``setRegister(_:_:)``, ``QueuePair/write(_:at:)``), including
/// values that the controller should reject.
public final class NVMeController {
  /// The connection to the device; that to another one after a move.
  public internal(set) var client: Client
  /// The memory shared with the device.
  public let arena: DMAArena
  /// CAP, as read at initialisation.
  public let capabilities: ControllerCapabilities
  /// How completions are detected.
  public let completionMode: CompletionMode
  /// The admin queue, while the controller is enabled.
  public internal(set) var admin: QueuePair?
  /// The I/O queue pairs by ID.
  public internal(set) var queues: [UInt16: QueuePair] = [:]
  var doorbells: DoorbellWriter
  /// Asynchronous events received and not yet taken.
  public internal(set) var events: [AsynchronousEvent] = []
  /// Command IDs of the outstanding Asynchronous Event Requests.
  var eventRequests: Set<UInt16> = []

  /// How completions are detected.
  public enum CompletionMode: Sendable {
    /// By MSI-X interrupts, one vector per queue.
    case interrupts
    /// By polling the completion queues.
    case polling
  }

  /// Connects to a device without enabling the controller.
  ///
  /// - Parameters:
  ///   - client: a connection to the device.
  ///   - memorySize: size in bytes of the memory shared for queues and data, a multiple of the page
  ///     size.
  ///   - completionMode: how completions are detected.
  ///   - isShared: whether the device can map the memory; otherwise it accesses it by messages.
  /// - Throws: ``NVMeDriverError/unsuitable(_:)`` if the device is not an NVMe controller, or not
  ///   one that this driver supports.
  public init(
    _ client: Client, memorySize: Int = 16 << 20, completionMode: CompletionMode = .interrupts,
    isShared: Bool = true
  ) throws(NVMeDriverError) {
    self.client = client
    self.completionMode = completionMode
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
    if let obstacle = capabilities.obstacle(registers: bar) { throw .unsuitable(obstacle) }
    doorbells = DoorbellWriter(client: client, stride: capabilities.doorbellStride)
    arena = try DMAArena(client, size: memorySize, isShared: isShared)
    try throughClient { () throws(ClientError) in
      _ = try client.enable([.memory, .busMaster])
    }
  }

  /// Reads a 32-bit register.
  public func register(_ offset: UInt64) throws(NVMeDriverError) -> UInt32 {
    try throughClient { () throws(ClientError) in try client.load(.bar0, at: offset) }
  }

  /// Writes a 32-bit register.
  public func setRegister(_ offset: UInt64, _ value: UInt32) throws(NVMeDriverError) {
    try throughClient { () throws(ClientError) in try client.store(value, .bar0, at: offset) }
  }

  /// Writes a 64-bit register.
  public func setRegister(_ offset: UInt64, wide value: UInt64) throws(NVMeDriverError) {
    try throughClient { () throws(ClientError) in try client.store(value, .bar0, at: offset) }
  }

  /// CSTS, the controller status.
  public var status: ControllerStatus {
    get throws(NVMeDriverError) {
      ControllerStatus(rawValue: try register(RegisterOffset.status))
    }
  }

  /// CC, the controller configuration.
  public var configuration: ControllerConfiguration {
    get throws(NVMeDriverError) {
      ControllerConfiguration(rawValue: try register(RegisterOffset.configuration))
    }
  }
}
