internal import VFIOUserServer

/// A request on its way to a server, and what it holds meanwhile; used again and again.
///
/// Belongs to the controller's thread, as does the ``NBDClient`` that has it.
final class NBDTask {
  /// What is to be done next.
  enum Step {
    /// What the request asks for.
    case work
    /// Its data is to be on the server's disk, and the server has no FUA.
    case flush
  }

  /// Nil for data that is written again after the server was lost.
  var request: StorageRequest?
  var step = Step.work
  /// Bytes of the request that the server is done with.
  var done: UInt64 = 0
  /// Bytes that the server has been asked for.
  var asked: UInt64 = 0
  /// Whether they come with its reply.
  var isReading = false
  /// When it began to wait, or last came on; nanoseconds.
  var since: UInt64 = 0
  /// When it was first seen that nobody wants it any more; 0 for not yet.
  var unwantedSince: UInt64 = 0
  /// What a flush is about: the changes up to this one.
  var mark: UInt64 = 0
  /// The client's memory, while the server's data goes straight there or comes from there.
  var slices = PinnedSlices(capacity: 2)
  /// Whether a read into it was begun, for which a reset waits.
  var isWriting = false
  /// Whether the client's memory must not be given to libnbd again: a connection has failed over it.
  var avoidsMemory = false
  /// Memory of ours instead.
  var buffer: PageBuffer?
  /// The connection that has it, while one does.
  weak var connection: NBDConnection?
  /// The entry of the journal that it writes again.
  var replayed: UInt64 = 0
  /// How it ended; set within a call of libnbd.
  private(set) var error: Int32 = 0

  /// Makes it the task of a request.
  func begin(_ request: StorageRequest?, at now: UInt64) {
    self.request = request
    step = .work
    done = 0
    asked = 0
    since = now
    unwantedSince = 0
    avoidsMemory = false
  }

  /// libnbd is done with it, well or not.
  func end(error: Int32) {
    self.error = error
    connection?.noteEnd(of: self)
  }

  /// Lets go of the client's memory.
  func release() {
    slices.release()
    if isWriting { request?.endWriting() }
    isWriting = false
  }
}
