internal import LinuxPrimitives

/// The processes that are connected to a control socket.
///
/// Each has its share, so that a client of a device that keeps as many connections as it can get leaves some to others.
final class Callers: Sendable {
  /// Maximum number of connections.
  static let limit = 32
  /// Maximum number of connections of one process.
  static let limitOfProcess = 8

  private let connected = Monitor<[Int32]>([])

  /// Counts a connection of a process; a process that is not known is 0.
  ///
  /// - Returns: why it is refused; nil if it is not.
  func admit(_ process: Int32) -> String? {
    connected.withLock { connected in
      guard connected.count < Self.limit else {
        return "\(Self.limit) callers are connected, which is the limit"
      }
      guard connected.count(where: { $0 == process }) < Self.limitOfProcess else {
        return
          "this process has \(Self.limitOfProcess) connections already, which is the limit"
      }
      connected.append(process)
      return nil
    }
  }

  /// A connection of a process has ended.
  func release(_ process: Int32) {
    connected.withLock { connected in
      if let place = connected.firstIndex(of: process) { connected.remove(at: place) }
    }
  }
}
