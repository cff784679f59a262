internal import VFIOUserTransport

/// Waits until a device has nothing under way: first the device itself, then what it has given to the worker.
final class Suspension: Sendable {
  private enum Phase {
    case device
    case worker
    case complete
    /// The device was resumed; what comes late concerns nobody.
    case over
  }

  private let phase = Monitor(Phase.device)
  private let observer: EventFD

  /// - Parameter observer: counts when ``isComplete`` has become true.
  init(telling observer: EventFD) { self.observer = observer }

  /// Whether nothing is under way.
  var isComplete: Bool { phase.withLock { if case .complete = $0 { true } else { false } } }

  /// Suspends a device; returns at once.
  func begin(_ device: any SavableDevice, _ worker: Worker) {
    device.suspend { [self] in
      if pause(worker) { observer.signal() }
    }
  }

  /// The device is done, and the worker is to be.
  ///
  /// Under the lock, so that a suspension that is over does not pause the worker behind ``end(_:_:)``.
  ///
  /// - Returns: whether nothing is under way any more.
  private func pause(_ worker: Worker) -> Bool {
    phase.withLock { phase in
      guard phase == .device else { return false }
      let isIdle = worker.pause { [self] in
        if advance(from: .worker, to: .complete) { observer.signal() }
      }
      phase = isIdle ? .complete : .worker
      return isIdle
    }
  }

  /// Resumes the device, also if its suspension is not complete.
  func end(_ device: any SavableDevice, _ worker: Worker) {
    phase.withLock { $0 = .over }
    device.resume()
    worker.resume()
  }

  private func advance(from old: Phase, to new: Phase) -> Bool {
    phase.withLock { phase in
      guard phase == old else { return false }
      phase = new
      return true
    }
  }
}
