internal import CLinux
internal import LinuxPrimitives
internal import Logging
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
    _ = try saved.serverRecord
    let file = try saved.stateFile
    do {
      try DeviceStateTransfer.check(file, for: type)
    } catch {
      throw HandoverError("\(error)")
    }
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
    let record = try saved.serverRecord
    guard let device = device as? any SavableDevice else {
      throw HandoverError("a \(type(of: device)) cannot be loaded: it is no SavableDevice")
    }
    let progress = dispatcher.quiet
    let suspension = Suspension(telling: progress)
    suspension.begin(device, dispatcher.core.worker)
    while !suspension.isComplete {
      guard !deadline.hasPassed else { throw HandoverError("the new device does not come to rest") }
      _ = progress.wait(for: .milliseconds(10))
    }
    var session: Session?
    if let client = record.client { session = try takeOver(client) }
    do {
      try DeviceStateTransfer(core: dispatcher.core, device: device).load(
        try saved.stateFile, withMemory: false)
    } catch {
      throw HandoverError("\(error)")
    }
    if record.client?.session.channel != nil, dispatcher.core.memory.isDMAAllowed {
      device.dmaAllowed()
    }
    let callers = record.callers.map {
      MessageSocket(
        adopting: OwnedDescriptor(adopting: $0),
        peer: PeerDescriptors(countedBy: dispatcher.peerDescriptors))
    }
    inherit(callers, session)
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

  private func inherit(_ callers: [MessageSocket], _ session: consuming Session?) {
    var session = session
    state.update { state in
      state.inheritance.callers = callers
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
    guard let client = state.withLock({ $0.place.client }) else { return nil }
    var peer = clinux_peer()
    // Sound: the structure is lent for the call.
    return unsafe clinux_peer_of(client.descriptor.number, &peer) == 0 ? peer.process : nil
  }
}
