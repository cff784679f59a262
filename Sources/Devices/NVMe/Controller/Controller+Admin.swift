internal import NVMeProtocol

/// What other commands than the one at hand are completed by: events, aborts, and jobs that had to wait.
extension Controller {
  /// Completes what an admin command has ended besides itself, and event requests.
  func completeOthers() {
    var hasAborted = false
    while let (slot, error) = slots.takeAborted() {
      complete(slot, error)
      hasAborted = true
    }
    if hasAborted { beginReady() }
    sendEvents()
  }

  /// Completes event requests, unless the client has gone: then events wait for the next one.
  func sendEvents() {
    guard lifeCycle.phase.stable != .paused else { return }
    while let (event, slot) = admin.events.next() { complete(slot, result: event.rawValue) }
  }

  /// The last I/O command of a namespace that is to be formatted is done.
  func resumeFormat(of namespace: Namespace) {
    guard let slot = admin.format.takeReady(namespace) else { return }
    proceed(slot) { () throws(CommandError) in try admin.resume(slot) }
  }

  /// Switches the cache off for commands whose earlier writes are done.
  func resumeCacheOff() {
    for slot in admin.cacheOff.takeReady() {
      proceed(slot) { () throws(CommandError) in try admin.resume(slot) }
    }
  }
}
