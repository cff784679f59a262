internal import NVMeProtocol

/// The slots of all commands in flight.
///
/// Belongs to the thread that has the controller's turn.
final class CommandSlots {
  /// Most commands in flight; queues wait when there are more.
  static let limit = 1024

  /// By the tags of their requests.
  private(set) var all: [CommandSlot] = []
  private var free: [CommandSlot] = []
  /// Commands that another command has ended, and that have yet to be completed.
  private var aborted: [(slot: CommandSlot, error: CommandError)] = []
  private let lifeCycle: LifeCycle
  private let mailbox: Mailbox
  /// The storage of a request that has none yet.
  private let storage: Storage

  init(_ lifeCycle: LifeCycle, _ mailbox: Mailbox, _ storage: Storage) {
    self.lifeCycle = lifeCycle
    self.mailbox = mailbox
    self.storage = storage
  }

  /// Whether another command can be started.
  var hasRoom: Bool { !free.isEmpty || all.count < Self.limit }

  /// A slot for a command, nil when there are too many in flight.
  func take() -> CommandSlot? {
    if let slot = free.popLast() { return slot }
    guard all.count < Self.limit else { return nil }
    let slot = CommandSlot(
      request: StorageRequest(
        tag: all.count, storage: storage, access: lifeCycle.memory, receiver: mailbox,
        generations: lifeCycle.generations))
    all.append(slot)
    return slot
  }

  /// A slot is free from now on.
  func giveBack(_ slot: CommandSlot) {
    slot.queue = nil
    slot.isSubmitted = false
    slot.work = .once
    free.append(slot)
  }

  // MARK: Commands that others end

  /// Has a command completed with an error; the engine must not have its request.
  func abort(_ slot: CommandSlot, _ error: CommandError) { aborted.append((slot, error)) }

  /// The next of those.
  func takeAborted() -> (slot: CommandSlot, error: CommandError)? {
    aborted.isEmpty ? nil : aborted.removeFirst()
  }
}
