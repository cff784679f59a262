internal import CLinux
internal import Synchronization

/// A thread whose waits in system calls another thread can end.
///
/// There is no way to interrupt a wait that is about to begin: whoever interrupts has set a flag first which the thread
/// looks at before it waits, and repeats the interruption until the thread has answered.
package final class InterruptibleThread: Sendable {
  private let number = Atomic<Int32>(0)

  package init() {}

  /// The calling thread is meant from now on.
  package func enter() { number.store(clinux_allow_interruption(), ordering: .releasing) }

  /// No thread is meant any more.
  package func leave() { number.store(0, ordering: .releasing) }

  /// Ends the thread's present wait, if it waits.
  package func interrupt() {
    let number = number.load(ordering: .acquiring)
    if number > 0 { _ = clinux_interrupt_thread(number) }
  }
}
