/// A completion queue and the submission queues that complete there: they always have one thread.
struct LentQueues {
  let completionQueue: CompletionQueue
  let submissionQueues: [SubmissionQueue]
  /// Turns in a row in which the next command could not be carried out yet.
  var fruitless = 0

  /// Whether no command is under way that the controller's thread has to end.
  var areAtRest: Bool {
    completionQueue.waiting.isEmpty
      && submissionQueues.allSatisfy { $0.inFlight == 0 && $0.deletion == nil }
  }
}
