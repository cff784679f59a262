/// Carries out reads and writes of a disk, without making the controller wait for it.
///
/// A request belongs to the engine from ``submit(_:)`` until the engine hands it to its receiver; the
/// controller does not touch it meanwhile. Each request comes back exactly once.
///
/// An engine may reach the client's memory by `GuestMemoryAccess.withSystemCallSlices`, where it has to be held for
/// as long as the kernel uses the addresses. What it cannot do by itself (windows without a
/// descriptor, buffers that are not aligned for direct I/O, lists that are too long) it gives to
/// ``BlockingIO/perform(_:_:)`` on a thread that may wait.
protocol StorageEngine: AnyObject, Sendable {
  /// Takes a request over; never waits.
  ///
  /// Called by the controller's thread. Requests may be kept until ``flush()``.
  func submit(_ request: StorageRequest)

  /// The controller has nothing more to submit for now.
  func flush()

  /// Gives up a request that has not begun.
  ///
  /// - Returns: whether it was given up; it does not come back then.
  func cancel(_ request: StorageRequest) -> Bool

  /// Ends the engine's threads once all requests have come back.
  func close()
}

/// Gets requests back that an engine has carried out.
protocol StorageReceiver: AnyObject, Sendable {
  /// A request is done; ``StorageRequest`` says how.
  ///
  /// Called on any thread; never waits.
  func completed(_ request: StorageRequest)

  /// A request is about to reach memory by messages, which the client's connection has to be free for.
  ///
  /// Called on any thread; never waits.
  func needsMessages()
}

extension StorageReceiver {
  /// Not everybody makes the connection wait.
  func needsMessages() {}
}
