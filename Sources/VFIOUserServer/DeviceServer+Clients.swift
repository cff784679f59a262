internal import CLinux
internal import Logging
internal import Synchronization
internal import VFIOUserTransport

// The one client: its beginning and its end, the same for a thread and for a loop.

extension DeviceServer {
  /// Gives the place to a client.
  ///
  /// - Returns: false if another client is served, or the server was stopped.
  func claim(for socket: MessageSocket) -> Bool {
    let isClaimed = state.update { state in
      guard state.place.claim(for: socket) else { return false }
      dispatcher.hasSpoken.store(false, ordering: .relaxed)
      dispatcher.counters.clients.add()
      return true
    }
    if isClaimed, let peer = PeerCredentials(of: socket.descriptor) {
      ClientProcesses.ofThisProcess.add(peer.process)
    }
    return isClaimed
  }

  /// Ends the connection of a silent client.
  ///
  /// - Returns: whether the place is free, or will be soon.
  func evictSilentClient() -> Bool {
    let hasSpoken = dispatcher.hasSpoken.load(ordering: .relaxed)
    let (isFree, isEvicted) = state.withLock {
      ($0.place.client == nil, $0.place.evictSilentClient(hasSpoken: hasSpoken))
    }
    if isEvicted { logger.notice("a silent client loses its place to another client") }
    return isFree || isEvicted
  }

  /// Ends the service of a client, whose session exists no more, and frees its place.
  func finish(_ socket: MessageSocket, _ reason: StreamError) {
    // First of all: threads of the device may be sending to this client or waiting for it.
    socket.shutdown()
    dispatcher.clientLeft()
    log(reason)
    release()
  }

  /// Frees the place.
  func release() {
    state.update { $0.place.release() }
    wake()
  }

  /// Makes the thread that accepts clients look again.
  func wake() { _ = clinux_eventfd_signal_own(wakeUp.number) }

  /// Logs why a client has gone; as an error if the operator can do something about it.
  private func log(_ reason: StreamError) {
    let level: Logger.Level =
      switch reason {
      case .controlDataTruncated, .descriptorsNotClosing, .system: .error
      default: dispatcher.options.clientLogLevel
      }
    logger.log(level: level, "the client is gone", metadata: ["reason": "\(reason)"])
  }
}
