internal import CLinux
internal import Synchronization
internal import SystemPackage
internal import VFIOUserTransport

extension Ring {
  /// Hands everything queued to the kernel in one system call.
  ///
  /// - Parameter least: waits until so many completions are there to take, those that were there before
  ///   included; a signal may end the wait early. No more than are under way are waited for.
  /// - Returns: how many operations were handed over.
  /// - Throws: ``RingError/system(_:)`` with `EAGAIN` when the kernel has no memory for them now.
  @discardableResult
  public func submit(waitingFor least: Int = 0) throws(RingError) -> Int {
    guard queued > 0 || least > 0 else { return 0 }
    let result = unsafe clinux_ring_submit(ring, UInt32(max(0, min(least, inFlight))))
    do throws(SystemCallError) {
      return Int(try checked("io_uring_enter", result))
    } catch {
      throw .system(error)
    }
  }

  /// Takes back what is queued and the kernel does not have; nothing of it is carried out.
  ///
  /// For when ``submit(waitingFor:)`` throws, and waiting for memory is no choice.
  ///
  /// - Parameter body: gets the number of each operation.
  /// - Returns: how many there were.
  @discardableResult
  public func withdraw(_ body: (UInt64) -> Void) -> Int {
    var total = 0
    while queued > 0 {
      var id: UInt64 = 0
      // Sound: there is room for one number.
      let count = Int(unsafe clinux_ring_withdraw(ring, &id, 1))
      underWay.subtract(count, ordering: .relaxed)
      total += count
      if count > 0 { body(id) }
    }
    return total
  }

  /// Waits until there is a completion to take, or a signal comes; from any thread.
  public func wait() throws(RingError) {
    do throws(SystemCallError) {
      _ = try checked("io_uring_enter", clinux_ring_wait(descriptor))
    } catch {
      throw .system(error)
    }
  }

  /// Takes the completions that are there, without waiting.
  ///
  /// - Returns: how many there were.
  @discardableResult
  public func take(_ body: (RingCompletion) -> Void) -> Int {
    var total = 0
    var isEmpty = false
    while !isEmpty {
      unsafe withCompletions { batch in
        let count = Int(unsafe clinux_ring_take(ring, batch.baseAddress, UInt32(batch.count)))
        // Pairs with the count of what was queued: what the other thread did before that is seen here.
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
