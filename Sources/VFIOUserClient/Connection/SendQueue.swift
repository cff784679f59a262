internal import VFIOUserTransport
internal import SystemPackage

/// Messages on their way to the socket, which go out in the order in which they were appended.
///
/// A large answer is made apart, without the lock (``LargeMessage``), and takes its place behind what is
/// there when it is complete; what comes after it is appended behind it.
struct SendQueue: ~Copyable {
  private var outbox = Outbox()
  /// Each goes out after the one before, the first after `outbox`.
  private var large: [LargeMessage] = []
  /// Bytes of large messages that are being made.
  private var reserved = 0
  /// Bytes of large messages that the socket has taken, ever.
  private var takenOfLarge: UInt64 = 0
  /// A large message that is done, for the next one: its room need not be allocated again.
  private var spare: LargeMessage?
  /// How often the queue has become empty since the spare was used.
  private var idleRounds = 0
  /// Posted writes that wait to be sent in one message while the socket is full.
  private var collected: [RegionWrite] = []
  /// Whether posted writes are collected into WRITE_MULTI.
  var collects = false

  /// Most writes in one message.
  static let maxCollected = 256
  static let maxCollectedBytes = 8 + maxCollected * RegionWrite.wireSize
  /// Most bytes that wait for a full socket before a posted write waits as well.
  static let backlogLimit = 1 << 20
  /// Most bytes of a message that is copied under the lock, which takes a few microseconds.
  static let smallLimit = 32 << 10

  /// Whether everything is sent that was appended.
  var isEmpty: Bool { outbox.isEmpty && large.isEmpty }

  /// Bytes that wait to be sent, those included that are being made.
  var unsentCount: Int {
    large.isEmpty
      ? outbox.unsentCount + reserved
      : large.reduce(outbox.unsentCount + reserved) { $0 + $1.outbox.unsentCount }
  }

  /// Bytes that the socket has taken, ever.
  var taken: UInt64 {
    large.reduce(outbox.taken &+ takenOfLarge) { $0 &+ $1.outbox.taken &- $1.takenBefore }
  }

  /// Whether little enough waits for the socket for posted writes to join it.
  var hasRoomForPosts: Bool { unsentCount <= Self.backlogLimit }

  /// Whether the last send stopped because too many descriptors are under way.
  var lacksReferences: Bool {
    outbox.lacksReferences || large.first?.outbox.lacksReferences ?? false
  }

  /// Appends a message whose payload is written in place; none when `fill` throws.
  ///
  /// Without memory for it the message is lost, which the next ``send(to:_:)`` says: the server waits for
  /// what it will not get.
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

  /// What was large a while ago is not kept for ever.
  private mutating func noteIdleRound() {
    idleRounds += 1
    if idleRounds > Outbox.patience { spare = nil }
  }

  /// A message could not be made for want of memory; the next ``send(to:_:)`` says so.
  mutating func loseMessage() { outbox.loseMessage() }

  /// Forgets every message that was not sent.
  mutating func discard() {
    outbox.discard()
    large.removeAll()
    spare = nil
    collected.removeAll()
  }
}

// MARK: Large answers

extension SendQueue {
  /// Takes room for a large message, to be filled without the lock and then given to ``append(_:)``, or to
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

  /// Gives back the room of a message that was not made.
  mutating func giveBack(_ message: LargeMessage) {
    reserved -= message.size
    spare = message.outbox.isEmpty ? message : nil
    idleRounds = 0
  }
}

/// A message that one thread makes without the lock, and hands over to the queue under it.
///
/// Unchecked: touched by the one thread that makes it until it is appended, and under the lock after that.
final class LargeMessage: @unchecked Sendable {
  fileprivate(set) var outbox = Outbox()
  fileprivate(set) var size = 0
  /// Bytes that the outbox had sent before this message was made.
  fileprivate var takenBefore: UInt64 = 0

  fileprivate func begin(_ size: Int) {
    self.size = size
    takenBefore = outbox.taken
  }

  /// Writes the message.
  ///
  /// - Parameter fill: writes every byte of the payload.
  /// - Returns: false when there is no memory for it.
  /// - Throws: what `fill` throws; there is no message then.
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
  /// Takes a posted write into the message that is sent when the socket has room again.
  ///
  /// - Returns: false when it has to be sent as a message of its own.
  mutating func collect(_ write: RegionWrite) -> Bool {
    guard collects, !isEmpty, collected.count < Self.maxCollected else { return false }
    collected.append(write)
    return true
  }

  /// Puts the collected writes in front of whatever is sent next.
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
  /// Appends a message whose payload is written in place; none when `fill` throws.
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
