/// How to start the client that is checked.
package protocol ClientLauncher: Sendable {
  /// Starts the client, which connects to the socket.
  func start() throws(LaunchFailure) -> any RunningClient
}

/// A client that was started.
package protocol RunningClient: Sendable {
  /// Nil while it runs; the number of the signal that ended it is negated.
  var exitCode: Int32? { get }
  /// Ends it, and waits until it has ended.
  func end()
}

/// Why a client cannot be started.
package struct LaunchFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
