internal import CLinux
public import SystemPackage

/// A connected UNIX stream socket that carries messages with descriptors.
public final class MessageSocket: Sendable {
  package let descriptor: OwnedDescriptor
  /// Where the descriptors end that the peer sends, and the socket itself: there may be some in its queue.
  package let peer: PeerDescriptors
  private let isShutDown = Monitor(false)

  /// Takes over a connected socket.
  public convenience init(adopting descriptor: consuming OwnedDescriptor) {
    self.init(adopting: descriptor, peer: PeerDescriptors())
  }

  /// Takes over a connected socket to a peer some of whose descriptors there may be already.
  package init(adopting descriptor: consuming OwnedDescriptor, peer: PeerDescriptors) {
    self.descriptor = descriptor
    self.peer = peer
  }

  deinit {
    // What nobody has read may carry descriptors, which are closed with the last descriptor of the socket: that
    // is another one then. Whoever ends a connection has shut it down, so that nothing more comes.
    guard clinux_is_empty_stream(descriptor.number) == 0 else { return }
    let number = clinux_duplicate(descriptor.number)
    if number >= 0 { peer.closeElsewhere(number) }
  }

  /// Connects to the socket at `path`.
  ///
  /// - Parameter timeout: how long to wait for room in the queue of the one who listens there.
  /// - Throws: `ENOENT` when there is nothing, `ECONNREFUSED` when nobody listens, `ETIMEDOUT` when
  ///   somebody listens and accepts nobody, `EACCES`, `ENAMETOOLONG` beyond 107 bytes.
  public convenience init(
    connectingTo path: FilePath, timeout: Duration = .seconds(5)
  ) throws(SystemCallError) {
    try self.init(connectingTo: path, before: .after(timeout)) { true }
  }

  /// Connects to the socket at `path`, as long as that is wanted.
  ///
  /// - Parameter isWanted: asked now and then; once it says no, `ECANCELED` is thrown.
  package convenience init(
    connectingTo path: FilePath, peer: PeerDescriptors = PeerDescriptors(),
    before deadline: Deadline, while isWanted: () -> Bool
  ) throws(SystemCallError) {
    while true {
      let slice = min(deadline, .after(Self.connectSlice)).remaining
      let number = unsafe path.withPlatformString { unsafe clinux_connect($0, slice) }
      let code = Errno(rawValue: -number)
      guard code == .resourceTemporarilyUnavailable || code == .interrupted else {
        self.init(
          adopting: OwnedDescriptor(adopting: try checked("connect", number)), peer: peer)
        return
      }
      guard isWanted() else { throw SystemCallError(call: "connect", code: .canceled) }
      guard !deadline.hasPassed else { throw SystemCallError(call: "connect", code: .timedOut) }
    }
  }

  /// How long an attempt to connect waits before it looks whether it is still wanted.
  private static let connectSlice = Duration.milliseconds(20)

  /// Two sockets that are connected to each other.
  public static func pair() throws(SystemCallError) -> (MessageSocket, MessageSocket) {
    try pair(peer: PeerDescriptors())
  }

  /// Two sockets that are connected to each other.
  ///
  /// - Parameter peer: holds what comes over the first one.
  package static func pair(
    peer: PeerDescriptors
  ) throws(SystemCallError) -> (MessageSocket, MessageSocket) {
    var ends: [Int32] = [-1, -1]
    _ = try checked("socketpair", unsafe clinux_socket_pair(&ends))
    return (
      MessageSocket(adopting: OwnedDescriptor(adopting: ends[0]), peer: peer),
      MessageSocket(adopting: OwnedDescriptor(adopting: ends[1]))
    )
  }

  /// Lends the descriptor, for a poll loop, or for bytes that are no messages.
  ///
  /// - Parameter body: must not close it.
  public func withDescriptor<Result, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(descriptor.number)
  }

  /// Ends the connection from any thread: whoever waits on it, here or at the peer, wakes up.
  ///
  /// The descriptor stays open until the last reference goes, so its number cannot be reused under a
  /// thread that is still in a call.
  public func shutdown() {
    isShutDown.update { $0 = true }
    _ = clinux_shutdown(descriptor.number)
  }

  /// The peer takes no more: what it sent before can still be read, then comes the end, and nobody waits
  /// for it.
  package func receiveOnly() {
    _ = clinux_shutdown(descriptor.number)
  }

  /// Whether there is something to receive, the end included.
  package var isReadable: Bool {
    var interest = clinux_interest(
      descriptor: descriptor.number, wanted: Readiness.readable.rawValue, happened: 0)
    return unsafe clinux_poll(&interest, 1, 0) > 0
  }

  /// Whether the peer has closed its end or is gone.
  public var peerHasHungUp: Bool {
    var interest = clinux_interest(descriptor: descriptor.number, wanted: 0, happened: 0)
    _ = unsafe clinux_poll(&interest, 1, 0)
    return interest.happened & Int16(CLINUX_HANGUP) != 0
  }

  /// Sends what the socket takes at once.
  ///
  /// - Parameters:
  ///   - bytes: where a message starts or goes on.
  ///   - descriptors: ride on the first byte; none when a message goes on.
  /// - Returns: bytes taken, 0 when the socket is full; nil when too many descriptors are under way, in all
  ///   sockets of the user together (`ETOOMANYREFS`): they may be received any time, but no event tells when.
  package func trySend(
    _ bytes: UnsafeRawBufferPointer, descriptors: [Int32]
  ) throws(StreamError) -> Int? {
    var slice = unsafe clinux_slice(
      base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), length: bytes.count)
    let sent = unsafe clinux_send(
      descriptor.number, &slice, 1, descriptors, Int32(descriptors.count), 0)
    if sent >= 0 { return sent }
    if sent == -Int(Errno.tooManyReferences.rawValue) { return nil }
    return try unlessEmpty("sendmsg", sent) ?? 0
  }

  /// Sends what the socket takes at once.
  ///
  /// - Returns: bytes taken, 0 when the socket is full.
  package func trySend(_ bytes: UnsafeRawBufferPointer) throws(StreamError) -> Int {
    var slice = unsafe clinux_slice(
      base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), length: bytes.count)
    let sent = unsafe clinux_send(descriptor.number, &slice, 1, nil, 0, 0)
    if sent >= 0 { return sent }
    return try unlessEmpty("sendmsg", sent) ?? 0
  }

  /// Sends what the socket takes at once of a message in two parts.
  ///
  /// - Returns: bytes taken, 0 when the socket is full.
  package func trySend(
    _ head: UnsafeRawBufferPointer, _ tail: UnsafeRawBufferPointer
  ) throws(StreamError) -> Int {
    // Sound: sendmsg only reads what the slices point to.
    var slices: [2 of clinux_slice] = unsafe [
      clinux_slice(base: UnsafeMutableRawPointer(mutating: head.baseAddress), length: head.count),
      clinux_slice(base: UnsafeMutableRawPointer(mutating: tail.baseAddress), length: tail.count),
    ]
    let count: Int32 = unsafe tail.isEmpty ? 1 : 2
    var span = unsafe slices.mutableSpan
    let sent = unsafe span.withUnsafeMutableBufferPointer {
      unsafe clinux_send(descriptor.number, $0.baseAddress, count, nil, 0, 0)
    }
    if sent >= 0 { return sent }
    return try unlessEmpty("sendmsg", sent) ?? 0
  }

  /// Receives once into the assembler.
  ///
  /// - Parameters:
  ///   - wait: whether to block until there is something.
  /// - Returns: whether anything was received; false too when the assembler has no room.
  package func receive(
    into assembler: inout FrameAssembler, wait: Bool
  ) throws(StreamError) -> Bool {
    let room = unsafe try assembler.prepareRoom()
    guard unsafe !room.isEmpty else { return false }
    return try unsafe withUnsafeTemporaryAllocation(
      of: Int32.self, capacity: Int(CLINUX_MAX_DESCRIPTORS)
    ) { (numbers) throws(StreamError) -> Bool in
      var slice = unsafe clinux_slice(base: room.baseAddress, length: room.count)
      let result = unsafe clinux_receive(
        descriptor.number, &slice, 1, numbers.baseAddress, wait ? 1 : 0)
      guard result.count >= 0 else { return try unlessEmpty("recvmsg", result.count) != nil }
      if result.count > 0 { assembler.received(result.count) }
      for index in 0..<Int(result.descriptors) {
        assembler.credit(unsafe numbers[index], from: peer)
      }
      guard !peer.isOverdrawn else {
        throw .descriptorsNotClosing(waiting: peer.count, limit: PeerDescriptors.limit)
      }
      guard result.truncated == 0 else { throw .controlDataTruncated }
      guard result.count > 0 else { throw endOfStream(assembler) }
      return true
    }
  }

  /// Waits until the socket is readable, or writable if asked for.
  ///
  /// - Returns: what happened, empty when the deadline came first.
  package func wait(
    for wanted: Readiness, before deadline: Deadline
  ) throws(StreamError) -> Readiness {
    while true {
      var interest = clinux_interest(
        descriptor: descriptor.number, wanted: wanted.rawValue, happened: 0)
      let ready = unsafe clinux_poll(&interest, 1, deadline.remaining)
      guard ready >= 0 else { throw .system(failure("ppoll", Int(ready))) }
      if ready > 0 || deadline.hasPassed { return Readiness(rawValue: interest.happened) }
    }
  }

  /// Waits until the socket is ready, a counter counts, or the deadline comes.
  ///
  /// - Returns: what happened at the socket; the count is for the caller to take.
  package func wait(
    for wanted: Readiness, or counter: EventFD, before deadline: Deadline
  ) throws(StreamError) -> Readiness {
    while true {
      var interests: [2 of clinux_interest] = [
        clinux_interest(descriptor: descriptor.number, wanted: wanted.rawValue, happened: 0),
        clinux_interest(
          descriptor: counter.descriptor.number, wanted: Readiness.readable.rawValue, happened: 0),
      ]
      var span = interests.mutableSpan
      let ready = unsafe span.withUnsafeMutableBufferPointer {
        unsafe clinux_poll($0.baseAddress, 2, deadline.remaining)
      }
      guard ready >= 0 else { throw .system(failure("ppoll", Int(ready))) }
      if ready > 0 || deadline.hasPassed { return Readiness(rawValue: interests[0].happened) }
    }
  }

  private func endOfStream(_ assembler: borrowing FrameAssembler) -> StreamError {
    if isShutDown.withLock({ $0 }) { return .closedByUs }
    return assembler.isInsideMessage ? .endInsideMessage(had: assembler.buffered) : .closedByPeer
  }

  /// Nil when the socket only had nothing for us, or no room; a peer that died is a peer that closed.
  private func unlessEmpty(_ call: String, _ result: Int) throws(StreamError) -> Int? {
    let failure = failure(call, result)
    switch failure.code {
    // A signal: only the caller knows how long it still wants to wait.
    case .resourceTemporarilyUnavailable, .interrupted: return nil
    case .connectionReset, .brokenPipe:
      throw isShutDown.withLock { $0 } ? .closedByUs : .closedByPeer
    default: throw .system(failure)
    }
  }

  private func failure(_ call: String, _ result: Int) -> SystemCallError {
    SystemCallError(call: call, code: Errno(rawValue: CInt(truncatingIfNeeded: -result)))
  }
}

/// What a socket can be waited for.
package struct Readiness: OptionSet, Sendable {
  package let rawValue: Int16
  @inlinable package init(rawValue: Int16) { self.rawValue = rawValue }

  package static let readable = Readiness(rawValue: Int16(CLINUX_READABLE))
  package static let writable = Readiness(rawValue: Int16(CLINUX_WRITABLE))
  package static let hangUp = Readiness(rawValue: Int16(CLINUX_HANGUP))
}
