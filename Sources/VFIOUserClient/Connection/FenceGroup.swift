/// Hears how a command of a fence ended, under the connection's lock: with a failure or with none.
///
/// When it was given up, a late answer makes it hear again, without the lock.
typealias CommandCompletion = @Sendable (_ failure: ClientError?, _ isLate: Bool) -> Void

/// Commands that were sent without waiting, and are waited for together.
///
/// All of it is touched under the connection's lock only.
final class FenceGroup: @unchecked Sendable {
  /// Replies that are still to come.
  var outstanding = 0
  /// The first failure among the replies that have come.
  var failure: ClientError?
  /// The thread or the task that waits at the fence.
  var waiter: CallHandle?
}
