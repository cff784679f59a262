internal import CLinux
internal import Synchronization
internal import SystemPackage
internal import LinuxPrimitives

extension Ring {
  /// Submits all queued operations in one system call.
  ///
  /// - Parameter least: waits until this many completions can be reaped, including those already
  ///   there; a signal may end the wait early. Clamped to the number of operations in flight.
  /// - Returns: the number of operations submitted.
  /// - Throws: ``RingError/system(_:)`` with `EAGAIN` if the kernel currently has no memory for
  ///   them.
  @discardableResult
  package func submit(waitingFor least: Int = 0) throws(RingError) -> Int {
    guard queued > 0 || least > 0 else { return 0 }
    let result = unsafe clinux_ring_submit(ring, UInt32(max(0, min(least, inFlight))))
    do throws(SystemCallError) {
      return Int(try checked("io_uring_enter", result))
    } catch {
      throw .system(error)
    }
  }

  /// Removes the queued operations that have not been submitted; they are not executed.
  ///
  /// For use when ``submit(waitingFor:)`` throws and waiting for memory is not an option.
  ///
  /// - Parameter body: called with the id of each operation.
  /// - Returns: the number of operations removed.
  @discardableResult
  package func withdraw(_ body: (UInt64) -> Void) -> Int {
    var total = 0
    while queued > 0 {
      var id: UInt64 = 0
      // Sound: there is room for one id.
      let count = Int(unsafe clinux_ring_withdraw(ring, &id, 1))
      underWay.subtract(count, ordering: .relaxed)
      total += count
      if count > 0 { body(id) }
    }
    return total
  }

  /// Waits until a completion can be reaped, or for a signal; callable from any thread.
  package func wait() throws(RingError) {
    do throws(SystemCallError) {
      _ = try checked("io_uring_enter", clinux_ring_wait(descriptor))
    } catch {
      throw .system(error)
    }
  }

  /// Reaps the available completions without waiting.
  ///
  /// - Returns: the number of completions.
  @discardableResult
  package func take(_ body: (RingCompletion) -> Void) -> Int {
    var total = 0
    var isEmpty = false
    while !isEmpty {
      unsafe withCompletions { batch in
        let count = Int(unsafe clinux_ring_take(ring, batch.baseAddress, UInt32(batch.count)))
        // Pairs with the release in `note`: what the submitting thread did before it is visible
        // here.
        underWay.subtract(count, ordering: .acquiringAndReleasing)
        total += count
        isEmpty = count < batch.count
        for index in 0..<count {
          body(
            RingCompletion(id: unsafe batch[index].id, result: unsafe batch[index].result))
        }
      }
    }
    return total
  }
}
