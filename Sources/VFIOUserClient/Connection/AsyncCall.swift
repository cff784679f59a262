internal import LinuxPrimitives

/// A command whose reply a suspended task gets.
///
/// All of it is touched under the connection's lock only, but for the resumption, which happens after.
final class AsyncCall: @unchecked Sendable {
  typealias Outcome = Result<AsyncReply, ClientError>

  var deadline: Deadline
  /// Most bytes that the reply's payload may have.
  let limit: Int
  /// The commands whose replies the task waits for, if it waits at a fence and has no command itself.
  let group: FenceGroup?
  private var continuation: CheckedContinuation<Outcome, Never>?

  init(
    _ continuation: CheckedContinuation<Outcome, Never>, limit: Int, _ deadline: Deadline,
    at group: FenceGroup? = nil
  ) {
    self.continuation = continuation
    self.limit = limit
    self.deadline = deadline
    self.group = group
  }

  /// Takes the task out, to be resumed once and by one.
  func take() -> CheckedContinuation<Outcome, Never>? {
    defer { continuation = nil }
    return continuation
  }

  /// Resumes the task on a thread of the runtime, for callers that hold the connection's lock.
  ///
  /// Resuming takes the lock of the task's status. Who cancels a task holds that lock while the cancellation
  /// handler waits for the connection's: the other order would be a deadlock.
  func resumeLater(_ outcome: Outcome) {
    guard let continuation = take() else { return }
    Task.detached { continuation.resume(returning: outcome) }
  }
}

/// A reply on its way to a task.
final class AsyncReply: @unchecked Sendable {
  let payload: [UInt8]
  /// Taken by the one task that gets the reply.
  var descriptors: DescriptorList

  init(_ payload: [UInt8], _ descriptors: consuming DescriptorList) {
    self.payload = payload
    self.descriptors = descriptors
  }

  /// What a task gets that waited for others' replies.
  static var nothing: AsyncReply { AsyncReply([], DescriptorList()) }
}

/// Descriptors on their way from a task to the socket.
final class CarriedDescriptors: Sendable {
  private let list: Monitor<DescriptorList?>

  init(_ list: consuming DescriptorList) { self.list = Monitor(consume list) }

  /// Gives them away, once.
  func take() -> DescriptorList { list.withLock { $0.take() } ?? DescriptorList() }
}
