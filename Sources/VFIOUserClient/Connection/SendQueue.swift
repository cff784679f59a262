internal import VFIOUserTransport
internal import SystemPackage

/// Messages that wait for the socket; they are sent in the order in which they were appended.
///
/// A large answer is written without the lock (``LargeMessage``), and appended when it is complete.
struct SendQueue: ~Copyable {
  private var outbox = Outbox()
  /// Sent in order, after `outbox`.
  private var large: [LargeMessage] = []
  /// Number of bytes of large messages that are being written.
  private var reserved = 0
  /// Total number of bytes of large messages that the socket has taken.
  private var takenOfLarge: UInt64 = 0
  /// A sent large message, kept so that the next one need not allocate memory.
  private var spare: LargeMessage?
  /// How often the queue has become empty since the spare was used.
  private var idleRounds = 0
  /// Posted writes that wait to be sent in one message while the socket is full.
  private var collected: [RegionWrite] = []
  /// Whether posted writes are collected into WRITE_MULTI.
  var collects = false

  /// Maximum number of writes in one message.
  static let maxCollected = 256
  static let maxCollectedBytes = 8 + maxCollected * RegionWrite.wireSize
  /// Maximum number of waiting bytes, beyond which a posted write blocks.
  static let backlogLimit = 1 << 20
  /// Maximum size of a message that is copied under the lock, which takes a few microseconds.
  static let smallLimit = 32 << 10

  /// Whether every appended message was sent.
  var isEmpty: Bool { outbox.isEmpty && large.isEmpty }

  /// Number of bytes that wait to be sent, including messages that are being written.
  var unsentCount: Int {
    large.isEmpty
      ? outbox.unsentCount + reserved
      : large.reduce(outbox.unsentCount + reserved) { $0 + $1.outbox.unsentCount }
  }

  /// Total number of bytes that the socket has taken.
  var taken: UInt64 {
    large.reduce(outbox.taken &+ takenOfLarge) { $0 &+ $1.outbox.taken &- $1.takenBefore }
  }

  /// Whether the backlog has room for posted writes.
  var hasRoomForPosts: Bool { unsentCount <= Self.backlogLimit }

  /// Whether the last send stopped because too many descriptors are in flight.
  var lacksReferences: Bool {
    outbox.lacksReferences || large.first?.outbox.lacksReferences ?? false
  }

  /// Appends a message whose payload is written in place; appends none if `fill` throws.
  ///
  /// If there is no memory for it, the message is lost, and the next ``send(to:_:)`` throws, because the
  /// server would wait for the message without end.
  mutating func append<Failure: Error>(
    _ header: Header, _ size: Int, _ descriptors: consuming DescriptorList,
    _ trace: TracePoint, _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    appendCollected(trace)
    guard let last = large.last else {
      return try outbox.append(header, size, descriptors, fill)
    }
    try last.outbox.append(header, size, descriptors, fill)
  }

  /// Sends what the socket takes.
  mutating func send(to socket: MessageSocket, _ trace: TracePoint) throws(StreamError) {
    try sendAppended(to: socket)
    guard !collected.isEmpty, isEmpty else { return }
    appendCollected(trace)
    try sendAppended(to: socket)
  }

  private mutating func sendAppended(to socket: MessageSocket) throws(StreamError) {
    guard try outbox.send(to: socket) else { return }
    while let first = large.first {
      guard try first.outbox.send(to: socket) else { return }
      large.removeFirst()
      takenOfLarge &+= first.outbox.taken &- first.takenBefore
      spare = first
      idleRounds = 0
    }
    if spare != nil { noteIdleRound() }
  }

  /// Frees the spare message if it was not used for a while.
  private mutating func noteIdleRound() {
    idleRounds += 1
    if idleRounds > Outbox.patience { spare = nil }
  }

  /// Notes that a message was lost for want of memory; the next ``send(to:_:)`` throws.
  mutating func loseMessage() { outbox.loseMessage() }

  /// Drops every message that was not sent.
  mutating func discard() {
    outbox.discard()
    large.removeAll()
    spare = nil
    collected.removeAll()
  }
}

// MARK: Large answers

extension SendQueue {
  /// Reserves a large message, to be written without the lock and then passed to ``append(_:)`` or
  /// ``giveBack(_:)``.
  mutating func reserve(_ size: Int) -> LargeMessage {
    reserved += size
    let message = spare.take() ?? LargeMessage()
    message.begin(size)
    return message
  }

  /// Appends a message that is complete.
  mutating func append(_ message: LargeMessage, _ trace: TracePoint) {
    appendCollected(trace)
    reserved -= message.size
    large.append(message)
  }

  /// Releases a message that was not written.
  mutating func giveBack(_ message: LargeMessage) {
    reserved -= message.size
    spare = message.outbox.isEmpty ? message : nil
    idleRounds = 0
  }
}

/// A message that one thread writes without the lock, and then appends to the queue under the lock.
///
/// Unchecked: used by the thread that writes it until it is appended, and then under the lock.
final class LargeMessage: @unchecked Sendable {
  fileprivate(set) var outbox = Outbox()
  fileprivate(set) var size = 0
  /// Number of bytes that the outbox had sent before this message was made.
  fileprivate var takenBefore: UInt64 = 0

  fileprivate func begin(_ size: Int) {
    self.size = size
    takenBefore = outbox.taken
  }

  /// Writes the message.
  ///
  /// - Parameter fill: writes every byte of the payload.
  /// - Returns: false if there is no memory for it.
  /// - Throws: the error of `fill`; no message is appended then.
  func make<Failure: Error>(
    _ header: Header, _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) -> Bool {
    var failure: Failure?
    do throws(Errno) {
      var payload = try outbox.reserve(payload: size, isZeroed: false)
      do throws(Failure) { try fill(&payload) } catch { failure = error }
    } catch {
      return false
    }
    if let failure { throw failure }
    outbox.commit(header, payload: size)
    return true
  }
}

// MARK: Posted writes

extension SendQueue {
  /// Adds a posted write to the message that is sent when the socket has room again.
  ///
  /// - Returns: false if it has to be sent as a separate message.
  mutating func collect(_ write: RegionWrite) -> Bool {
    guard collects, !isEmpty, collected.count < Self.maxCollected else { return false }
    collected.append(write)
    return true
  }

  /// Appends the collected writes before the next message.
  private mutating func appendCollected(_ trace: TracePoint) {
    guard !collected.isEmpty else { return }
    let message = RegionWriteMulti(writes: collected)
    trace.record(.coalesced(writes: collected.count))
    let header = Header(id: CallTable.posted, command: .regionWriteMulti, size: 0, flags: .noReply)
    if let last = large.last {
      last.outbox.append(header, message)
    } else {
      outbox.append(header, message)
    }
    collected.removeAll(keepingCapacity: true)
  }
}

extension Outbox {
  /// Appends a message whose payload is written in place; appends none if `fill` throws.
  fileprivate mutating func append<Failure: Error>(
    _ header: Header, _ size: Int, _ descriptors: consuming DescriptorList,
    _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    var failure: Failure?
    do throws(Errno) {
      var payload = try reserve(payload: size)
      do throws(Failure) { try fill(&payload) } catch { failure = error }
    } catch {
      return loseMessage()
    }
    if let failure { throw failure }
    commit(header, payload: size, descriptors: descriptors)
  }
}
