internal import Logging
internal import NVMeProtocol

/// Asynchronous Event Request (NVMe 1.4, section 5.2), and what raises events.
extension AdminCommands {
  func requestEvent(_ slot: CommandSlot) throws(CommandError) -> Progress {
    guard events.add(slot) else {
      throw CommandError(Status.eventRequestLimitExceeded.final)
    }
    slot.work = .waiting
    // It may wait for ever: other commands may have its identifier meanwhile, as some hosts' have.
    slot.releaseIdentifier()
    return .pending
  }

  /// Reports invalid doorbell writes.
  ///
  /// - Returns: whether there were any.
  func reportFaults() -> Bool {
    guard queues.holdsFaults else { return false }
    let faults = queues.doorbells.takeFaults()
    for (fault, event) in [
      (Doorbells.Faults.register, AsynchronousEvent.invalidDoorbellRegister),
      (.value, .invalidDoorbellValue),
    ] where faults.contains(fault) {
      var entry = ErrorLogEntry()
      entry.submissionQueue = 0xFFFF
      entry.commandID = 0xFFFF
      entry.parameterLocation = 0xFFFF
      entry.status = .invalidField
      record.add(entry)
      events.add(event)
    }
    return true
  }

  /// A threshold or the events that the host wants have changed.
  func healthHasChanged() {
    let warning = UInt32(criticalWarning) & 1 << 1
    guard features[.asynchronousEvents] & warning != 0 else { return }
    events.add(.temperatureThreshold)
  }

  /// Reports namespaces whose files have another size.
  func measureNamespaces() {
    for namespace in namespaces.all where namespace.measure() {
      options.logger.notice(
        "a namespace has another size",
        metadata: ["namespace": "\(namespace.id)", "blocks": "\(namespace.blocks)"])
      if !changedNamespaces.contains(namespace.id) { changedNamespaces.append(namespace.id) }
      let wanted = EventConfiguration(rawValue: features[.asynchronousEvents])
      if lifeCycle.phase.isReady, wanted.contains(.namespaceAttributes) {
        events.add(.namespaceChanged)
      }
    }
  }
}
