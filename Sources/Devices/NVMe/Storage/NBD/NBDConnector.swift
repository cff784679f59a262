internal import LinuxPrimitives

/// Connects to a server, on a thread that may wait: for a name, a handshake, a file with keys.
enum NBDConnector {
  /// Seconds in which a server has to have shaken hands.
  static let patience = 5

  /// A connection that is ready for commands, and what the server has said.
  struct Connected: Sendable {
    let handle: NBDHandle
    let facts: NBDFacts
  }

  /// Connects, at each of the server's addresses until one answers.
  static func connect(
    to address: NBDAddress, at known: NBDServerAddresses
  ) throws(NBDError) -> Connected {
    var failure = NBDError.connection("there is no address", code: 0)
    for index in 0..<known.count {
      do throws(NBDError) {
        let handle = try NBDHandle(address)
        try handle.connect(to: address, at: known, index, before: .after(.seconds(patience)))
        return Connected(handle: handle, facts: try handle.facts())
      } catch {
        failure = error
      }
    }
    throw failure
  }

  /// Connects on a thread of its own, which ends with that.
  ///
  /// - Parameter done: gets the result, on that thread.
  static func start(
    _ address: NBDAddress, _ known: NBDServerAddresses,
    _ done: @escaping @Sendable (Result<Connected, NBDError>) -> Void
  ) {
    do throws(SystemCallError) {
      try DetachedThread.start("nbd-connect") {
        do throws(NBDError) {
          done(.success(try connect(to: address, at: known)))
        } catch {
          done(.failure(error))
        }
      }
    } catch {
      done(.failure(.system(error)))
    }
  }
}
