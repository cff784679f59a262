internal import LinuxPrimitives
internal import VFIOUserTransport

/// The halt of a server, and what another process needs to continue: used by one thread, step by step.
///
/// ```
/// begin, waitUntilResting, suspend, waitUntilSuspended, record, end
/// ```
///
/// Several servers of a process are halted together: each step for all of them, then the next. ``end()`` may come after
/// any step; then the server goes on as if nothing had been.
package final class ServerHandover {
  private let server: DeviceServer
  private let listener: ListeningSocket
  private let device: any SavableDevice
  private var suspension: Suspension?
  private let progress: EventFD
  private var dispatcher: CommandDispatcher { server.dispatcher }

  /// - Throws: when the device is of a kind that cannot be saved, or no descriptor is left.
  package init(_ server: DeviceServer, _ listener: ListeningSocket) throws(HandoverError) {
    guard let device = server.device as? any SavableDevice else {
      throw HandoverError(
        "the state of a \(type(of: server.device)) cannot be saved: it is no SavableDevice")
    }
    do {
      progress = try EventFD()
    } catch {
      throw HandoverError("no descriptor: \(error)")
    }
    self.server = server
    self.listener = listener
    self.device = device
  }

  /// Asks the threads of the server to rest.
  package func begin() {
    server.state.update { state in
      state.isHalted = true
      state.callers = nil
    }
    server.wake()
    dispatcher.halt.begin()
    client?.isInterrupted = true
  }

  /// The socket of the present client.
  private var client: MessageSocket? { server.state.withLock { $0.place.client } }

  /// Waits until nobody accepts clients, and the session, if there is one, serves nothing.
  package func waitUntilResting(before deadline: Deadline) throws(HandoverError) {
    while !server.state.withLock({ $0.runners == 0 || $0.callers != nil }) {
      try check(deadline, "the thread that accepts clients does not stop")
      _ = server.state.withLock(
        when: { $0.runners == 0 || $0.callers != nil }, before: .after(.milliseconds(1))
      ) { _ in }
    }
    while client != nil {
      if try dispatcher.halt.waitBriefly(for: .resting) { return }
      try check(deadline, "the thread that serves the client does not stop")
      client?.isInterrupted = true
      dispatcher.halt.thread.interrupt()
    }
  }

  /// Begins to suspend the device.
  package func suspend() {
    let begun = Suspension(telling: progress)
    suspension = begun
    begun.begin(device, dispatcher.core.worker)
  }

  /// Waits until all descriptors are closed that clients have sent, those of clients that have gone too.
  ///
  /// The execution of another program would close them, and a close may wait for whom they are from.
  private func waitForCloses(before deadline: Deadline) throws(HandoverError) {
    while dispatcher.peerDescriptors.count > 0 {
      try check(deadline, "descriptors that a client has sent are not closed")
      _ = progress.wait(for: .milliseconds(1))
    }
  }

  /// Waits until the device has nothing under way.
  package func waitUntilSuspended(before deadline: Deadline) throws(HandoverError) {
    while suspension?.isComplete == false {
      try check(deadline, "the device does not come to rest")
      _ = progress.wait(for: .milliseconds(10))
    }
  }

  private func check(_ deadline: Deadline, _ what: String) throws(HandoverError) {
    guard deadline.hasPassed else { return }
    throw HandoverError("\(what) in time")
  }

  /// Saves server and device.
  ///
  /// - Precondition: the device is suspended.
  package func record(before deadline: Deadline) throws(HandoverError) -> SavedServer {
    try waitForCloses(before: deadline)
    return try HandoverError.wrapping {
      var writer = try StateWriter(limit: transfer.limit)
      try transfer.save(into: &writer)
      return SavedServer(
        record: try serverRecord(before: deadline),
        state: try writer.file.bytes(at: 0, count: Int(writer.file.size)))
    }
  }

  private var transfer: DeviceStateTransfer {
    DeviceStateTransfer(core: dispatcher.core, device: device)
  }

  private func serverRecord(before deadline: Deadline) throws(HandoverError) -> ServerRecord {
    let session = try sessionRecord(before: deadline)
    var record = ServerRecord(
      listener: listener.record, callers: server.state.withLock { $0.callers } ?? [])
    guard dispatcher.core.interrupts.haltWatcher(before: deadline) else {
      throw HandoverError("the thread that unmasks INTx does not stop in time")
    }
    if let session {
      record.client = ClientRecord(
        session: session, memory: try dispatcher.core.memory.record(),
        interrupts: dispatcher.core.interrupts.connection)
    }
    return record
  }

  /// - Returns: nil without a client.
  private func sessionRecord(before deadline: Deadline) throws(HandoverError) -> SessionRecord? {
    dispatcher.halt.demandRecord()
    while client != nil {
      dispatcher.quiet.signal()
      if try dispatcher.halt.waitBriefly(for: .recorded) { return dispatcher.halt.takeRecord() }
      try check(deadline, "the connection of the client is not written down")
    }
    return nil
  }

  /// The server goes on.
  package func end() {
    suspension?.end(device, dispatcher.core.worker)
    suspension = nil
    dispatcher.core.interrupts.endHalt()
    client?.isInterrupted = false
    dispatcher.halt.end()
    dispatcher.quiet.signal()
    server.state.update { $0.isHalted = false }
    server.wake()
  }
}
