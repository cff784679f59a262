internal import CLinux
internal import Synchronization
public import SystemPackage

/// A connected UNIX stream socket that carries messages with file descriptors.
@safe
public final class MessageSocket: Sendable {
  // Sound: written by `init` and `deinit` only, and there only until then.
  nonisolated(unsafe) private var owned: OwnedDescriptor?
  /// Closes the descriptors sent by the peer, and the socket itself, whose queue may hold more of
  /// them.
  package let peer: PeerDescriptors
  private let isShutDown = Monitor(false)
  private let interrupted = Atomic(false)

  /// Whether waits on this socket return early, as if nothing had happened; a thread that waits already has to be
  /// interrupted (`InterruptibleThread`).
  package var isInterrupted: Bool {
    get { interrupted.load(ordering: .acquiring) }
    set { interrupted.store(newValue, ordering: .releasing) }
  }

  /// Takes ownership of a connected socket.
  public convenience init(adopting descriptor: consuming OwnedDescriptor) {
    self.init(adopting: descriptor, peer: PeerDescriptors())
  }

  /// Takes ownership of a connected socket to a peer that may have sent descriptors before.
  package init(adopting descriptor: consuming OwnedDescriptor, peer: PeerDescriptors) {
    unsafe owned = consume descriptor
    self.peer = peer
  }

  /// The socket's own; there until the end of this object.
  // swift-format-ignore: NeverForceUnwrap
  package var descriptor: OwnedDescriptor {
    @inline(__always) _read { yield unsafe owned! }
  }

  deinit {
    // Unread data may carry descriptors. The kernel closes them with the last descriptor of the
    // socket, which may block: so that is closed on the peer's closing thread, and nobody here has
    // another. The connection has been shut down before, so nothing more arrives.
    guard let last = unsafe owned.take(), clinux_is_empty_stream(last.number) == 0 else { return }
    peer.closeElsewhere(last.release())
  }

  /// Connects to the socket at `path`.
  ///
  /// - Parameters:
  ///   - path: the path of a UNIX socket, at most 107 bytes.
  ///   - timeout: how long to wait while the backlog of the listener is full.
  /// - Throws: `ENOENT` if the path does not exist, `ECONNREFUSED` if nobody listens, `ETIMEDOUT`
  ///   if the listener accepts nobody, `EACCES`, `ENAMETOOLONG` above 107 bytes.
  public convenience init(
    connectingTo path: FilePath, timeout: Duration = .seconds(5)
  ) throws(SystemCallError) {
    try self.init(connectingTo: path, before: .after(timeout)) { true }
  }

  /// Connects to the socket at `path`, as long as `isWanted` returns true.
  ///
  /// - Parameter isWanted: called every 20 ms while waiting; if it returns false, `ECANCELED` is
  ///   thrown.
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

  /// How long one attempt to connect blocks before `isWanted` is called again.
  private static let connectSlice = Duration.milliseconds(20)

  /// Creates two sockets that are connected to each other.
  public static func pair() throws(SystemCallError) -> (MessageSocket, MessageSocket) {
    try pair(peer: PeerDescriptors())
  }

  /// Creates two sockets that are connected to each other.
  ///
  /// - Parameter peer: closes the descriptors received on the first socket.
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

  /// Lends the descriptor, for a poll loop or for bytes that are not messages.
  ///
  /// - Parameter body: must not close the descriptor.
  public func withDescriptor<Result, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(descriptor.number)
  }

  /// Shuts the connection down from any thread and wakes all threads that wait on it, here and at
  /// the peer.
  ///
  /// The descriptor stays open until the last reference is released, so its number cannot be reused
  /// while a thread is still in a system call.
  public func shutdown() {
    isShutDown.update { $0 = true }
    _ = clinux_shutdown(descriptor.number)
  }

  /// Shuts the socket down for the peer: its sends fail from now on.
  ///
  /// What it sent before can still be read; then the end of the stream follows, without waiting for
  /// the peer.
  package func receiveOnly() {
    _ = clinux_shutdown(descriptor.number)
  }

  /// Has the socket take twice the usual amount at once, 416 KiB: a large message goes in half as many pieces, between
  /// which both sides sleep and are woken.
  ///
  /// It is what every process may ask for, and no more, because a peer that does not read keeps it in the kernel.
  package func enlargeSendBuffer() {
    _ = clinux_set_send_buffer(descriptor.number, 212_992)
  }

  /// Whether there is something to receive, the end of the stream included.
  package var isReadable: Bool {
    var interest = clinux_interest(
      descriptor: descriptor.number, wanted: Readiness.readable.rawValue, happened: 0)
    return unsafe clinux_poll(&interest, 1, 0) > 0
  }

  /// Whether the peer has closed its end.
  package var peerHasHungUp: Bool {
    var interest = clinux_interest(descriptor: descriptor.number, wanted: 0, happened: 0)
    _ = unsafe clinux_poll(&interest, 1, 0)
    return interest.happened & Int16(CLINUX_HANGUP) != 0
  }

  /// Sends as much as the socket accepts, without blocking.
  ///
  /// - Parameters:
  ///   - bytes: a message, or the rest of one.
  ///   - descriptors: sent with the first byte; empty for the rest of a message.
  /// - Returns: bytes sent, 0 if the socket is full; nil if too many descriptors are in flight in
  ///   all sockets of the user (`ETOOMANYREFS`): the limit may clear at any time, but no event
  ///   reports it.
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

  /// Sends as much as the socket accepts, without blocking.
  ///
  /// - Returns: bytes sent, 0 if the socket is full.
  package func trySend(_ bytes: UnsafeRawBufferPointer) throws(StreamError) -> Int {
    var slice = unsafe clinux_slice(
      base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), length: bytes.count)
    let sent = unsafe clinux_send(descriptor.number, &slice, 1, nil, 0, 0)
    if sent >= 0 { return sent }
    return try unlessEmpty("sendmsg", sent) ?? 0
  }

  /// Sends as much as the socket accepts of a message in two parts, without blocking.
  ///
  /// - Returns: bytes sent, 0 if the socket is full.
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
  ///   - wait: whether to block until something arrives.
  /// - Returns: whether anything was received; false also if the assembler has no room.
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

  private func endOfStream(_ assembler: borrowing FrameAssembler) -> StreamError {
    if isShutDown.withLock({ $0 }) { return .closedByUs }
    return assembler.isInsideMessage ? .endInsideMessage(had: assembler.buffered) : .closedByPeer
  }

  /// Nil if the call would have blocked or was interrupted; a reset by the peer counts as closed by
  /// the peer.
  private func unlessEmpty(_ call: String, _ result: Int) throws(StreamError) -> Int? {
    let failure = failure(call, result)
    switch failure.code {
    // EINTR: only the caller knows how long it still wants to wait.
    case .resourceTemporarilyUnavailable, .interrupted: return nil
    case .connectionReset, .brokenPipe:
      throw isShutDown.withLock { $0 } ? .closedByUs : .closedByPeer
    default: throw .system(failure)
    }
  }

  func failure(_ call: String, _ result: Int) -> SystemCallError {
    SystemCallError(call: call, code: Errno(rawValue: CInt(truncatingIfNeeded: -result)))
  }
}
