internal import Logging
internal import NVMeProtocol
internal import Synchronization
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// Enabling, disabling, and everything else that ends commands.
extension Controller {
  /// CC.EN went from 0 to 1.
  func enable(_ order: RegisterBlock.Enabling) {
    guard stage == .disabled else { return }
    // What was rung before there were queues is nothing to tell of.
    _ = doorbells.takeFaults()
    transfer = order.transfer
    isPaused = false
    configuration = order.configuration
    pageSize = 4096 << UInt64(order.configuration.pageSize)
    if let reason = flaw(of: order) {
      logger.warning("the guest enables the controller wrongly", metadata: ["reason": "\(reason)"])
      stage = .failed
      hasFailed = true
      return registers.refuse(order, generation: generation)
    }
    mailbox.usesMessages.store(false, ordering: .relaxed)
    features.reset()
    let completions = CompletionQueue(
      id: 0, address: order.completionQueue, entries: UInt32(order.attributes.completionEntries),
      vector: 0, interrupts: true)
    let submissions = SubmissionQueue(
      id: 0, address: order.submissionQueue, entries: UInt32(order.attributes.submissionEntries),
      completionQueue: completions)
    add(completions)
    add(submissions)
    stage = .enabled
    if !health.isPowered {
      health.isPowered = true
      // A process that is killed from now on leaves a disk behind that was not shut down.
      save()
    }
    registers.setStatus(generation: generation) { $0.isReady = true }
  }

  private func flaw(of order: RegisterBlock.Enabling) -> String? {
    let capabilities = registers.capabilities
    if order.configuration.commandSet != 0 { return "CC.CSS is not the NVM command set" }
    if order.configuration.pageSize > capabilities.maximumPageSize { return "CC.MPS is too large" }
    if order.configuration.arbitration != 0 { return "CC.AMS is not round robin" }
    if order.attributes.submissionEntries < 2 || order.attributes.completionEntries < 2 {
      return "AQA has a queue of one entry"
    }
    let mask = pageSize - 1
    if order.submissionQueue & mask != 0 { return "ASQ does not start a page" }
    if order.completionQueue & mask != 0 { return "ACQ does not start a page" }
    return nil
  }

  /// Notes if a queue or the shadow doorbells lie in memory that is reached by messages.
  func noteMessages(at address: UInt64) {
    let range = GuestRange(address: address, count: UInt64(SubmissionEntry.wireSize))
    do throws(MemoryError) {
      // Sound: the slices are not used.
      unsafe try transfer.withSystemCallSlices(of: [range], for: .reading) { _ in }
    } catch .needsMapping {
      mailbox.usesMessages.store(true, ordering: .relaxed)
    } catch {
      // Whoever fetches the first command will see what is wrong.
    }
  }

  /// A client that has not reset the controller rings for its commands: it goes on.
  func adopt(_ transfer: GuestMemoryAccess) {
    self.transfer = transfer
    isPaused = false
    doorbells.share(shadow, transfer)
    guard stage == .enabled else { return }
    sendEvents()
  }

  /// Begins nothing new, and takes back from the engine what it has not begun; what takes long is given up.
  func quiesce(_ goal: Goal) {
    if goal == .shutDown, stage != .enabled { return finish(.shutDown) }
    stage = .quiescing(goal)
    guard goal != .shutDown else { return }
    for slot in slots where slot.queue != nil {
      // Requests for events have no data: they wait on, for a client that goes on with the controller.
      if goal == .leave, events.holds(slot) { continue }
      if !slot.isSubmitted || cancel(slot) {
        release(slot)
      } else {
        slot.request.abandon()
      }
    }
  }

  /// The engine has nothing of ours any more.
  func finish(_ goal: Goal) {
    switch goal {
    case .disable:
      tearDown()
      registers.setStatus(generation: generation) { status in
        status.isReady = false
        status.isFatal = false
        status.shutdown = 0
      }
    case .reset(let next):
      tearDown()
      generation = next
      mailbox.ended.update { $0.generation = next }
    case .shutDown: flushForShutdown(from: 0, isSafe: true)
    case .flushed(let next, let isSafe): flushForShutdown(from: next, isSafe: isSafe)
    case .leave:
      if health.isPowered { health.unsafeShutdowns += 1 }
      health.isPowered = false
      save()
      // The commands that waited have gone, also the one that was to delete a queue.
      for queue in turns { queue.deletion = nil }
      isPaused = true
      stage = restingStage
    }
  }

  /// Forgets queues, events and everything else that a controller reset ends.
  private func tearDown() {
    for slot in slots where slot.queue != nil { release(slot) }
    for queue in submissionQueues.indices {
      doorbells.close(Doorbells.tail(of: UInt16(queue)))
      doorbells.close(Doorbells.head(of: UInt16(queue)))
      submissionQueues[queue] = nil
      completionQueues[queue] = nil
    }
    turns = []
    unsignalledQueues = []
    firstTurn = 0
    shadow = nil
    doorbells.share(nil, transfer)
    events.reset()
    features.reset()
    _ = doorbells.takeFaults()
    line.reset()
    stage = .disabled
    hasFailed = false
    isPaused = false
  }

  /// Something went wrong that the host has to be reset for, unless the client has just gone.
  func fail(_ error: MemoryError, _ what: String) {
    if error == .stale || error == .dmaNotAllowed {
      isPaused = true
      return
    }
    guard isCurrent, stage == .enabled else { return }
    logger.error("\(what)", metadata: ["error": "\(error)"])
    stage = .failed
    hasFailed = true
    registers.setStatus(generation: generation) { $0.isFatal = true }
  }

  var restingStage: Stage {
    hasFailed ? .failed : submissionQueues[0] == nil ? .disabled : .enabled
  }
}
