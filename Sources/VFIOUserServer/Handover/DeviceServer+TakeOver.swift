internal import LinuxPrimitives
internal import Synchronization
internal import VFIOUserTransport

/// What a server has taken over from another process, until it serves.
struct Inheritance: ~Copyable {
  var callers: [MessageSocket] = []
  var session: Session?
}

/// A server that was taken over, and does nothing yet.
package struct TakenOverServer {
  package let listener: ListeningSocket
  /// Starts the thread of the session, which waits for ``proceed``.
  package let startSession: @Sendable () throws -> Void
  /// Lets device, session and the thread that accepts clients go on; cannot fail.
  package let proceed: @Sendable () -> Void
}

extension DeviceServer {
  /// Checks whether a device of this type could be taken over by this program, as far as that is possible without one.
  ///
  /// Touches nothing but the bytes.
  package static func check(
    _ saved: SavedServer, for type: any SavableDevice.Type
  ) throws(HandoverError) {
    let file = try saved.stateFile
    try HandoverError.wrapping { try DeviceStateTransfer.check(file, for: type) }
  }

  /// Takes over the device, the client and the callers of another process; the device stays suspended.
  ///
  /// To be called before ``start(on:onFailure:)``, whose thread rests then. The descriptors that the record names become
  /// this process's.
  ///
  /// - Throws: when the state does not fit the device.
  package func takeOver(
    _ saved: SavedServer, before deadline: Deadline
  ) throws(HandoverError) -> TakenOverServer {
    state.update { $0.isHalted = true }
    guard let device = device as? any SavableDevice else {
      throw HandoverError("a \(type(of: device)) cannot be loaded: it is no SavableDevice")
    }
    let suspension = try suspend(device, before: deadline)
    let record = saved.record
    var session: Session?
    if let client = record.client { session = try takeOver(client) }
    let file = try saved.stateFile
    try HandoverError.wrapping {
      try DeviceStateTransfer(core: dispatcher.core, device: device).load(file, withMemory: false)
    }
    if record.client?.session.channel != nil, dispatcher.core.memory.isDMAAllowed {
      device.dmaAllowed()
    }
    inherit(record.callers, session)
    // Not `isHalted`: another halt may begin before the session's thread has seen the end of this one.
    let gate = Monitor(false)
    return TakenOverServer(
      listener: ListeningSocket(resuming: record.listener),
      startSession: { [self] in try startInheritedSession(gate) },
      proceed: { [self] in
        suspension.end(device, dispatcher.core.worker)
        gate.update { $0 = true }
        state.update { $0.isHalted = false }
        wake()
      })
  }

  private func suspend(
    _ device: any SavableDevice, before deadline: Deadline
  ) throws(HandoverError) -> Suspension {
    let progress = dispatcher.quiet
    let suspension = Suspension(telling: progress)
    suspension.begin(device, dispatcher.core.worker)
    while !suspension.isComplete {
      guard !deadline.hasPassed else { throw HandoverError("the new device does not come to rest") }
      _ = progress.wait(for: .milliseconds(10))
    }
    return suspension
  }

  private func takeOver(_ client: ClientRecord) throws(HandoverError) -> Session {
    let peer = PeerDescriptors(countedBy: dispatcher.peerDescriptors)
    let session = try Session(resuming: client.session, dispatcher, from: peer)
    let socket = session.receiver.socket
    guard claim(for: socket) else { throw HandoverError("the device has a client already") }
    guard let channel = session.channel else { return session }
    dispatcher.hasSpoken.store(true, ordering: .relaxed)
    let options = dispatcher.options
    try dispatcher.core.memory.takeOver(
      client.memory, from: peer, limit: options.maxDMAWindows, files: options.memoryFiles)
    dispatcher.core.memory.connect(channel)
    try dispatcher.core.interrupts.takeOver(client.interrupts, from: peer)
    device.clientConnected()
    return session
  }

  private func inherit(_ callers: [Int32], _ session: consuming Session?) {
    var session = session
    let sockets = callers.map {
      MessageSocket(
        adopting: OwnedDescriptor(adopting: $0),
        peer: PeerDescriptors(countedBy: dispatcher.peerDescriptors))
    }
    state.update { state in
      state.inheritance.callers = sockets
      state.inheritance.session = session.take()
    }
  }

  /// Serves the client that was taken over, on a thread of its own, when the server proceeds.
  private func startInheritedSession(_ gate: Monitor<Bool>) throws(SystemCallError) {
    guard state.withLock({ $0.inheritance.session != nil }) else { return }
    try DetachedThread.start("vfio-user") { [self] in
      _ = gate.withLock(when: { $0 }) { _ in }
      guard let session = state.withLock({ $0.inheritance.session.take() }) else { return }
      let socket = session.receiver.socket
      finish(socket, Session.serve(session))
    }
  }
}

extension DeviceServer {
  /// The process ID of the client; nil without one.
  package var clientProcess: Int32? {
    state.withLock { $0.place.client }.flatMap { PeerCredentials(of: $0.descriptor)?.process }
  }
}
