internal import Synchronization
internal import SystemPackage

/// One thing to do with a storage: used again and again, so that nothing is allocated for a command.
///
/// Opaque to engines of other modules, which pass it to ``BlockingIO/perform(_:_:)`` and give it back with
/// ``complete(_:)``. Exactly one party at a time may touch it: the controller's thread, then the engine from `submit` until
/// `completed`, then the controller's thread again. The hand-over goes through locks of theirs.
final class StorageRequest: @unchecked Sendable {
  /// What to do.
  enum Operation: Equatable, Sendable {
    /// File to memory.
    case read
    /// Memory to file; `durable` when it has to be on the disk before it is done.
    case write(durable: Bool)
    /// Everything that was written is on the disk before it is done.
    case flush
    /// Zeros, on the disk if `durable`; `deallocate` gives the room back to the host.
    case zero(deallocate: Bool, durable: Bool)
    /// The room goes back to the host, if the host can do that, and that is on the disk if `durable`.
    case deallocate(durable: Bool)
  }

  /// How it went.
  enum Outcome: Equatable, Sendable {
    /// Done.
    case success
    /// The file did not do it.
    case storage(Errno)
    /// The client's memory was not to be had.
    case memory(MemoryError)
    /// Nobody wants it any more: the controller was reset, or the client has gone.
    case abandoned
  }

  /// What to do.
  var operation = Operation.flush
  /// With what.
  var storage: Storage
  /// From where; bytes.
  var offset: UInt64 = 0
  /// How much; bytes.
  var count: UInt64 = 0
  /// The memory of the client whose command it is.
  var access: GuestMemoryAccess
  /// Where in the client's memory the data is, `count` bytes together.
  var ranges: [GuestRange] = []
  /// Memory of ours to be used instead of the client's; at least `count` bytes.
  var buffer: PageBuffer?
  /// How it went.
  var outcome = Outcome.success

  /// What the controller knows it by.
  let tag: Int
  /// Who gets it back.
  let receiver: any StorageReceiver
  /// The generation of the controller that it was begun in.
  var generation: UInt64 = 0
  let generations: ControllerGenerations
  /// Whether nobody waits for it any more, though the controller was not reset.
  private let isAbandoned = Atomic<Bool>(false)

  init(
    tag: Int, storage: Storage, access: GuestMemoryAccess, receiver: any StorageReceiver,
    generations: ControllerGenerations
  ) {
    self.tag = tag
    self.storage = storage
    self.access = access
    self.receiver = receiver
    self.generations = generations
  }

  /// The storage, for the engines of files, which get no other requests.
  var file: StorageFile {
    // Sound: `CommandRequests` gives those of exports to another engine.
    unsafe unsafeDowncast(storage, to: StorageFile.self)
  }

  /// Whether the controller has not been reset since; an engine looks before it touches the client's
  /// memory.
  var isWanted: Bool {
    generations.current == generation && !isAbandoned.load(ordering: .relaxed)
  }

  /// Makes it a request of this generation of the controller and this client.
  func begin(generation: UInt64, access: GuestMemoryAccess) {
    self.generation = generation
    self.access = access
    isAbandoned.store(false, ordering: .relaxed)
  }

  /// It is carried out now, after all that were in its way: a disk in memory has to know what is written.
  func noteChange() {
    if storage.kind == .memory, case .write = operation { file.memory?.noteWrite(offset, count) }
  }

  /// Has the engine end it early, if it has pieces; the controller's thread may say so while the engine has it.
  func abandon() { isAbandoned.store(true, ordering: .relaxed) }

  /// Begins to write to the client's memory, or lets the kernel do that, which a reset then waits for.
  ///
  /// - Returns: false when the request is not wanted any more; then nothing may be written.
  func beginWriting() -> Bool { isWanted && generations.beginWriting(in: generation) }

  /// What ``beginWriting()`` has begun is done.
  func endWriting() { generations.endWriting() }

  /// Whether it suits direct I/O, where the file wants that.
  var isAligned: Bool {
    let alignment = UInt64(storage.alignment)
    guard alignment > 1 else { return true }
    var bits = offset | count
    for range in ranges { bits |= range.address | range.count }
    return bits % alignment == 0
  }

  /// Whether trying again would hide a failure instead of finding out more.
  ///
  /// Linux reports data that it could not bring to the disk once per open file. A flush or a durable write that
  /// hears of it has to pass it on: repeated, it succeeds, and the guest believes that its data is safe.
  func isFinal(_ failure: Errno) -> Bool {
    switch operation {
    case .flush, .write(durable: true): !Self.saysNothingOfData.contains(failure)
    default: false
    }
  }

  /// Failures from before the file was asked, or because it cannot be asked so.
  private static let saysNothingOfData: [Errno] = [
    .resourceTemporarilyUnavailable, .interrupted, .canceled, .invalidArgument, .badAddress,
    .notSupported, .noFunction,
  ]

  /// Gives the request back.
  func complete(_ outcome: Outcome) {
    self.outcome = withDeferredError(outcome)
    receiver.completed(self)
  }

  /// Has the next flush of the file fail as well when a durable write has: what Linux reported, once, may be data
  /// that was written before, and whoever wrote that only asks by a flush.
  private func withDeferredError(_ outcome: Outcome) -> Outcome {
    switch (operation, outcome) {
    case (.write(durable: true), .storage(let failure)),
      (.zero(_, durable: true), .storage(let failure)),
      (.deallocate(durable: true), .storage(let failure)):
      if !Self.saysNothingOfData.contains(failure), storage.mayHaveLostData(failure) {
        storage.deferFlushError(failure)
      }
    case (.flush, .success):
      if let owed = storage.takeDeferredFlushError() { return .storage(owed) }
    case (.flush, .storage(.timedOut)): break
    case (.flush, .storage): _ = storage.takeDeferredFlushError()
    default: break
    }
    return outcome
  }
}
