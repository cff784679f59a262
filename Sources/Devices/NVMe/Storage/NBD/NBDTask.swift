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

  /// What it is for.
  enum Role {
    /// A request of the controller, which ``NBDTask/request`` is.
    case request
    /// What was lost with the server is written again.
    case replay(NBDJournal.Entry)
    /// Everything is to be on the server's disk before its connections are made anew.
    case settle
    /// What is kept for a replay is to be on the server's disk, so that there is room for more.
    case relief
  }

  private(set) var role = Role.request
  private(set) var request: StorageRequest?
  var step = Step.work
  /// Bytes of the request that the server is done with.
  var done: UInt64 = 0
  /// Bytes that the server has been asked for.
  var asked: UInt64 = 0
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
  /// Whether the client's memory must not be given to a socket again: it could not be touched.
  var avoidsMemory = false
  /// Memory of ours instead.
  var buffer: PageBuffer?
  /// How its command ended: an errno, or 0.
  var error: Int32 = 0

  /// Makes it the task of a request, or of something else.
  func begin(_ request: StorageRequest?, as role: Role = .request, at now: UInt64) {
    self.role = role
    self.request = request
    step = .work
    done = 0
    asked = 0
    since = now
    unwantedSince = 0
    avoidsMemory = false
  }

  /// Memory of ours that its command uses.
  var memory: PageBuffer? {
    if case .replay(let entry) = role, case .write(let kept) = entry.change { return kept }
    return buffer
  }

  /// The request is none of its any more.
  func takeRequest() -> StorageRequest? { request.take() }

  /// Lets go of the client's memory.
  func release() {
    slices.release()
    if isWriting { request?.endWriting() }
    isWriting = false
  }
}
