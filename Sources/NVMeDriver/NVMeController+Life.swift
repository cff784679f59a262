internal import LinuxPrimitives
internal import CLinux

extension NVMeController {
  /// Resets the controller and enables it with empty admin queues.
  ///
  /// - Parameter adminEntries: number of entries of the two admin queues, 2 to 4096.
  /// - Throws: ``NVMeDriverError/fatal(_:)``, ``NVMeDriverError/notReady(_:wanted:)``.
  public func enable(adminEntries: Int = 32) throws(NVMeDriverError) {
    try disable()
    let admin = try makeQueue(0, entries: adminEntries, vector: 0)
    self.admin = admin
    eventRequests = []
    try setRegister(
      RegisterOffset.adminQueueAttributes,
      AdminQueueAttributes(submissionEntries: adminEntries, completionEntries: adminEntries)
        .rawValue)
    try setRegister(RegisterOffset.adminSubmissionQueue, wide: admin.submission.address)
    try setRegister(RegisterOffset.adminCompletionQueue, wide: admin.completion.address)
    var wanted = ControllerConfiguration(rawValue: 0)
    wanted.submissionEntrySize = 6
    wanted.completionEntrySize = 4
    wanted.isEnabled = true
    try setRegister(RegisterOffset.configuration, wanted.rawValue)
    try waitUntil("ready") { $0.isReady }
  }

  /// Disables the controller (CC.EN = 0), which deletes its queues.
  ///
  /// Also accepts a controller in fatal status (CSTS.CFS), which this reset clears.
  public func disable() throws(NVMeDriverError) {
    var now = try configuration
    if now.isEnabled {
      now.isEnabled = false
      now.shutdown = 0
      try setRegister(RegisterOffset.configuration, now.rawValue)
    }
    try waitUntil("stopped", evenIfFatal: true) { !$0.isReady }
    forgetQueues()
  }

  /// Requests a shutdown (CC.SHN) and waits until it is complete (CSTS.SHST).
  public func shutDown(abruptly: Bool = false) throws(NVMeDriverError) {
    var now = try configuration
    now.shutdown = abruptly ? 2 : 1
    try setRegister(RegisterOffset.configuration, now.rawValue)
    try waitUntil("shut down") { $0.shutdown == 2 }
  }

  /// Performs an NVM subsystem reset (NSSR), comparable to a power cycle.
  public func resetSubsystem() throws(NVMeDriverError) {
    try setRegister(RegisterOffset.subsystemReset, RegisterOffset.subsystemResetSignature)
    try waitUntil("stopped", evenIfFatal: true) { !$0.isReady }
    forgetQueues()
  }

  /// Resets the PCI device (DEVICE_RESET) and enables memory space and bus master again.
  public func resetDevice() throws(NVMeDriverError) {
    try throughClient { () throws(ClientError) in
      try client.reset()
      try client.enable([.memory, .busMaster])
    }
    forgetQueues()
  }

  /// Polls CSTS until it satisfies `isTrue`; `wanted` is the name of the state in error messages.
  public func waitUntil(
    _ wanted: String, evenIfFatal: Bool = false, _ isTrue: (ControllerStatus) -> Bool
  ) throws(NVMeDriverError) {
    // CAP.TO is in units of 500 ms; wait at least two seconds, as a busy machine may need.
    let limit = Deadline.after(.milliseconds(max(4, Int(capabilities.timeout)) * 500))
    while true {
      let status = try self.status
      if isTrue(status) { return }
      if status.isFatal, !evenIfFatal { throw .fatal(status) }
      guard !limit.hasPassed else { throw .notReady(status, wanted: wanted) }
      _ = clinux_poll(nil, 0, 200_000)
    }
  }

  /// Allocates the memory of a queue pair and configures its interrupt.
  func makeQueue(
    _ id: UInt16, entries: Int, vector: UInt32
  ) throws(NVMeDriverError) -> QueuePair {
    var counter: EventFD?
    if completionMode == .interrupts {
      do throws(SystemCallError) {
        counter = try EventFD()
      } catch {
        throw .system(error)
      }
      try throughClient { () throws(ClientError) in
        try client.setTrigger(.msix, vector: vector, counter)
      }
    }
    return try QueuePair(
      id: id, entries: entries, arena: arena, doorbells: doorbells, interrupt: counter)
  }

  /// Releases the memory of all queues, which the controller no longer accesses.
  private func forgetQueues() {
    for queue in [admin].compactMap({ $0 }) + queues.values { release(queue) }
    admin = nil
    queues = [:]
    events = []
    if let shadow = doorbells.shadow {
      arena.free(shadow.doorbells)
      arena.free(shadow.eventIndices)
    }
    doorbells.shadow = nil
  }

  func release(_ queue: QueuePair) {
    arena.free(queue.submission)
    arena.free(queue.completion)
  }
}
