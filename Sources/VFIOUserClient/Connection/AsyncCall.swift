internal import LinuxPrimitives

/// A command of a suspended task.
///
/// Used under the connection's lock only, except for the resumption, which happens later.
final class AsyncCall: @unchecked Sendable {
  typealias Outcome = Result<AsyncReply, ClientError>

  var deadline: Deadline
  /// Maximum size of the reply's payload in bytes.
  let limit: Int
  /// The group of commands, if the task waits at a fence.
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

  /// Takes the continuation, so that the task is resumed once.
  func take() -> CheckedContinuation<Outcome, Never>? {
    defer { continuation = nil }
    return continuation
  }

  /// Resumes the task on a thread of the runtime, for callers that hold the connection's lock.
  ///
  /// Resuming takes the lock of the task's status. A thread that cancels the task holds that lock while the
  /// cancellation handler waits for the connection's lock, so resuming under the connection's lock could
  /// deadlock.
  func resumeLater(_ outcome: Outcome) {
    guard let continuation = take() else { return }
    Task.detached { continuation.resume(returning: outcome) }
  }
}

/// A reply for a task.
final class AsyncReply: @unchecked Sendable {
  let payload: [UInt8]
  /// The descriptors, taken by the task.
  var descriptors: DescriptorList

  init(_ payload: [UInt8], _ descriptors: consuming DescriptorList) {
    self.payload = payload
    self.descriptors = descriptors
  }

  /// The reply for a task that waited at a fence.
  static var nothing: AsyncReply { AsyncReply([], DescriptorList()) }
}

/// Descriptors of a task's command.
final class CarriedDescriptors: Sendable {
  private let list: Monitor<DescriptorList?>

  init(_ list: consuming DescriptorList) { self.list = Monitor(consume list) }

  /// Takes the descriptors, once.
  func take() -> DescriptorList { list.withLock { $0.take() } ?? DescriptorList() }
}
