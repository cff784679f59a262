internal import Synchronization

extension Atomic where Value == Bool {
  /// Whether another thread has set the flag since the last call; a locked instruction only if it has.
  func take() -> Bool {
    load(ordering: .relaxed) && exchange(false, ordering: .acquiringAndReleasing)
  }
}
