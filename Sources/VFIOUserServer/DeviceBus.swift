public import SystemPackage

/// What a device sees of the machine that it is plugged into.
///
/// Safe from any thread, and silent while no client is there.
public final class DeviceBus: Sendable {
  /// Interrupts of the device.
  public let interrupts: Interrupts
  /// The memory of the client.
  public let memory: GuestMemory
  let configuration: ConfigurationSpace
  let worker = Worker()

  init(
    for description: PCIDescription, guardsMemory: Bool = true
  ) throws(PCIDescription.Flaw) {
    configuration = try ConfigurationSpace(description)
    interrupts = Interrupts(description)
    memory = GuestMemory(guarded: guardsMemory)
  }

  /// Goes on with some work on a thread of the device, one piece after the other; from a callback,
  /// after the callback's reply has been sent.
  ///
  /// This is where a device waits for the client: a callback cannot, because the client may be
  /// waiting for the callback.
  ///
  /// - Parameter body: gets the memory of the client that was there at the time of the call.
  /// - Throws: `EBUSY` when thousands of pieces wait already; a callback can pass that on.
  public func perform(_ body: @escaping @Sendable (Transfer) -> Void) throws(Errno) {
    let transfer = memory.begin()
    try worker.add(inCallback: memory.isOnReceivingThread) { body(transfer) }
  }
}
