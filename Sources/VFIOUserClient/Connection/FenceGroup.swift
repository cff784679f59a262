/// Called when a command of a fence has ended, under the connection's lock.
///
/// If the command was given up, called again at its late reply, without the lock.
typealias CommandCompletion = @Sendable (_ failure: ClientError?, _ isLate: Bool) -> Void

/// Commands that are sent without waiting, and waited for together.
///
/// Used under the connection's lock only.
final class FenceGroup: @unchecked Sendable {
  /// Number of replies that have not come yet.
  var outstanding = 0
  /// The first error of the replies that have come.
  var failure: ClientError?
  /// The thread or the task that waits at the fence.
  var waiter: CallHandle?
}
