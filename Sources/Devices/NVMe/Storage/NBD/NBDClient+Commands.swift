internal import CLinux
internal import DequeModule
internal import Glibc
internal import SystemPackage

/// What a task asks a server for, and what follows.
extension NBDClient {
  /// Most bytes of zeros or holes at once: between two pieces a request can be given up.
  static let mostErased: UInt64 = 256 << 20
  /// Most bytes of zeros that are sent, for a server that cannot make them itself.
  private static let mostSent: UInt64 = 1 << 20

  /// Begins with a task, or with its next piece.
  func begin(_ task: NBDTask, on connection: NBDConnection) {
    guard let request = task.request else { return }
    guard request.isWanted else { return complete(task, .abandoned) }
    let facts = connection.facts
    if task.step == .flush { return beginFlush(task, on: connection) }
    let rest = request.count - task.done
    switch request.operation {
    case .flush: beginFlush(task, on: connection)
    case .read: beginRead(task, min(rest, UInt64(facts.maximum)), on: connection)
    case .write(let durable):
      beginWrite(task, min(rest, UInt64(facts.maximum)), durable && facts.canFUA, on: connection)
    case .zero(let deallocate, let durable):
      guard facts.canZero else { return sendZeros(task, rest, on: connection) }
      unsafe send(
        .zero(mayDeallocate: deallocate, isDurable: durable && facts.canFUA), task,
        min(rest, Self.mostErased), on: connection)
    case .deallocate(let durable):
      // A hint.
      guard facts.canTrim else { return endWork(task, on: connection) }
      unsafe send(
        .trim(isDurable: durable && facts.canFUA), task, min(rest, Self.mostErased), on: connection)
    }
  }

  private func beginFlush(_ task: NBDTask, on connection: NBDConnection) {
    // The log has said that there is nothing to be asked.
    guard connection.facts.canFlush else { return complete(task, .success) }
    task.mark = journal.last
    unsafe send(.flush, task, 0, on: connection)
  }

  @unsafe
  private func send(
    _ command: NBDCommand, _ task: NBDTask, _ count: UInt64, on connection: NBDConnection
  ) {
    let offset = (task.request?.offset ?? 0) + task.done
    guard unsafe connection.begin(command, count: count, offset: offset, for: task) else {
      return complete(task, .storage(.invalidArgument))
    }
    noteBegun(task)
  }

  // MARK: Data

  private func beginRead(_ task: NBDTask, _ count: UInt64, on connection: NBDConnection) {
    guard let request = task.request else { return }
    if let own = request.buffer, export.address.tls == nil {
      guard request.count <= UInt64(own.size) else {
        return complete(task, .storage(.messageTooLong))
      }
      // Sound: memory of the request's, which the task has until its end.
      return unsafe send(.read(own.place(Int(task.done))), task, count, on: connection)
    }
    if let place = unsafe memory(of: task, .writing) {
      return unsafe send(.read(place + Int(task.done)), task, count, on: connection)
    }
    guard request.isWanted else { return complete(task, .abandoned) }
    guard let buffer = makeBuffer(for: task) else { return }
    // Sound: as above; the buffer has room for the whole request.
    unsafe send(.read(buffer.place(Int(task.done))), task, count, on: connection)
  }

  private func beginWrite(
    _ task: NBDTask, _ count: UInt64, _ isDurable: Bool, on connection: NBDConnection
  ) {
    // What is kept to be written again is sent from where it is kept.
    if !journal.isKeeping, let place = unsafe memory(of: task, .reading) {
      return unsafe send(
        .write(UnsafeRawPointer(place + Int(task.done)), isDurable: isDurable), task, count,
        on: connection)
    }
    let isNew = task.buffer == nil
    guard let buffer = makeBuffer(for: task) else { return }
    if isNew, !fill(buffer, for: task) { return }
    // Sound: as above.
    let place = unsafe UnsafeRawPointer(buffer.place(Int(task.done)))
    unsafe send(.write(place, isDurable: isDurable), task, count, on: connection)
  }

  /// The client's memory for the whole of a request, where it is in one piece; it stays pinned until the server is done.
  @unsafe
  private func memory(
    of task: NBDTask, _ direction: GuestMemoryAccess.Direction
  ) -> UnsafeMutableRawPointer? {
    // With TLS libnbd would touch memory that a guest can truncate, and could not be told to stop.
    guard let request = task.request, export.address.tls == nil, !task.avoidsMemory,
      task.buffer == nil, request.ranges.count == 1
    else { return nil }
    if direction == .writing {
      guard request.beginWriting() else { return nil }
      task.isWriting = true
    }
    do throws(MemoryError) {
      try task.slices.pin(request.ranges[0], for: direction, of: request.access)
      if task.slices.count == 1, task.slices.byteCount == request.count {
        return unsafe task.slices.slices[0].iov_base
      }
    } catch {
      // The way through a buffer says what is wrong.
    }
    task.release()
    return nil
  }

  /// The task's buffer for the whole of its request; nil when there is no memory, which ends it.
  private func makeBuffer(for task: NBDTask) -> PageBuffer? {
    if let buffer = task.buffer { return buffer }
    do throws(Errno) {
      let buffer = try buffers.take(Int(clamping: task.request?.count ?? 0))
      task.buffer = buffer
      return buffer
    } catch {
      complete(task, .storage(error))
      return nil
    }
  }

  /// Fills the buffer of a write; false when that was its end.
  private func fill(_ buffer: PageBuffer, for task: NBDTask) -> Bool {
    guard let request = task.request else { return false }
    BlockingIO.noteMessages(request)
    do throws(MemoryError) {
      if try buffer.gather(from: request.ranges, by: request.access, while: { request.isWanted }) {
        return true
      }
      complete(task, .abandoned)
    } catch {
      complete(task, .memory(error))
    }
    return false
  }

  private func sendZeros(_ task: NBDTask, _ rest: UInt64, on connection: NBDConnection) {
    let count = min(rest, Self.mostSent, UInt64(connection.facts.maximum))
    do throws(Errno) {
      // A new one: others hold what was written before.
      let zeros = if let own = task.buffer { own } else { try PageBuffer(size: Int(Self.mostSent)) }
      task.buffer = zeros
      // Sound: as above.
      unsafe send(
        .write(UnsafeRawPointer(zeros.place(0)), isDurable: false), task, count, on: connection)
    } catch {
      complete(task, .storage(error))
    }
  }

  // MARK: Ends

  /// The server is done with a piece of a task, or does not do it.
  func end(_ task: NBDTask, on connection: NBDConnection) {
    noteEnded(task)
    switch task.role {
    case .request: break
    case .replay: return endReplayed(task, on: connection)
    case .settle: return endSettling(task)
    case .relief: return endRelief(task, on: connection)
    }
    switch task.error {
    case 0: endPiece(task, on: connection)
    case ESHUTDOWN:
      // The server goes away: another one may do it.
      task.release()
      waiting.prepend(task)
      connection.giveUp(task.error)
    case EFAULT:
      // The client's memory is gone: the way through a buffer says what is wrong.
      task.release()
      task.avoidsMemory = true
      requeue(task)
    default: complete(task, .storage(Errno(rawValue: task.error)))
    }
  }

  private func endPiece(_ task: NBDTask, on connection: NBDConnection) {
    guard let request = task.request else { return }
    if !hasServed { noteService() }
    if task.step == .flush || request.operation == .flush {
      noteFlush(task)
      return complete(task, .success)
    }
    task.done += task.asked
    guard task.done >= request.count else {
      task.release()
      return requeue(task)
    }
    endWork(task, on: connection)
  }

  /// Everything that a request asks for is done; perhaps it has to get to the server's disk.
  private func endWork(_ task: NBDTask, on connection: NBDConnection) {
    guard let request = task.request else { return }
    task.release()
    if request.operation == .read { return endRead(task, request) }
    noteChange(task, request, connection.facts)
    guard request.operation.isDurable, !connection.facts.canFUA, connection.facts.canFlush else {
      return complete(task, .success)
    }
    task.step = .flush
    requeue(task)
  }

  private func endRead(_ task: NBDTask, _ request: StorageRequest) {
    guard let buffer = task.buffer else { return complete(task, .success) }
    if let own = request.buffer {
      own.copy(buffer, count: Int(clamping: request.count))
      return complete(task, .success)
    }
    BlockingIO.noteMessages(request)
    do throws(MemoryError) {
      complete(task, try BlockingIO.scatter(buffer, request) ? .success : .abandoned)
    } catch {
      complete(task, .memory(error))
    }
  }

  /// What was changed is not on the server's disk before a flush, whose promise this is about.
  private func noteChange(_ task: NBDTask, _ request: StorageRequest, _ facts: NBDFacts) {
    guard facts.canFlush else { return }
    var change: NBDJournal.Change?
    switch request.operation {
    case .write: if journal.isKeeping { change = task.buffer.take().map { .write($0) } }
    case .zero(let deallocate, _):
      if facts.canZero { change = .zero(mayDeallocate: deallocate) }
    case .deallocate:
      guard facts.canTrim else { return }
      change = .deallocate
    case .read, .flush: return
    }
    journal.add(
      offset: request.offset, count: request.count, change,
      isDurable: request.operation.isDurable && facts.canFUA
    ) { buffers.give($0) }
  }
}

extension StorageRequest.Operation {
  /// Whether it has to be on the disk before it is done.
  fileprivate var isDurable: Bool {
    switch self {
    case .write(let durable), .zero(_, let durable), .deallocate(let durable): durable
    case .read, .flush: false
    }
  }
}
