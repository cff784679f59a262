internal import LinuxPrimitives

/// The cable between the port and its far end: which streams are open, in each direction.
///
/// Only the pump opens and closes streams, so that none is closed while it is polled.
struct Cable: ~Copyable {
  /// Nil once unplugged.
  private var farEnd: FarEnd?
  private var client: ByteStream?
  /// By which a new version of the program takes the connected program over; nil if it need not.
  private let keptName: String?
  private var kept: KeptDescriptor?
  private var hasInputEnded = false
  private var hasOutputEnded = false
  /// Whether the last write to the far end would have blocked; the pump polls for the end of that.
  private(set) var isBlocked = false

  init(to farEnd: FarEnd, keptAs keptName: String? = nil) {
    self.farEnd = farEnd
    self.keptName = keptName
    if let keptName, case .socket = farEnd, let inherited = KeptDescriptor.take(keptName) {
      connect(.socket(inherited))
    }
  }

  /// The stream to read from; nil if currently no input can arrive.
  var input: ByteStream? {
    guard !hasInputEnded else { return nil }
    return switch farEnd {
    case .pseudoTerminal(let terminal): terminal.master
    case .streams(let pair): pair.input
    case .socket: client
    case nil: nil
    }
  }

  /// The stream to write to; nil if currently no output is possible.
  var output: ByteStream? {
    guard !hasOutputEnded else { return nil }
    return switch farEnd {
    case .pseudoTerminal(let terminal): terminal.master
    case .streams(let pair): pair.output
    case .socket: client
    case nil: nil
    }
  }

  /// The socket on which a client may connect, if none is connected.
  var listener: ListeningSocket? {
    guard case .socket(let listener) = farEnd, client == nil else { return nil }
    return listener
  }

  /// A client that has ended its output; it may still read, and is polled for a hang-up.
  var leaving: ByteStream? { hasInputEnded ? client : nil }

  /// Whether output can never be delivered and is discarded.
  private var discardsOutput: Bool {
    switch farEnd {
    case .pseudoTerminal, .streams: hasOutputEnded
    case .socket: false
    case nil: true
    }
  }

  /// Sends as many bytes as the far end accepts.
  ///
  /// - Returns: whether any bytes were sent or discarded.
  mutating func send(_ queue: inout ByteQueue) -> Bool {
    let before = queue.count
    while !queue.isEmpty, !isBlocked, let output {
      switch output.write(from: &queue) {
      case .moved: break
      case .blocked: isBlocked = true
      case .ended: hasOutputEnded = true
      }
    }
    if discardsOutput { queue.removeAll() }
    return queue.count < before
  }

  /// Allows writing again, after the far end has become writable.
  mutating func unblock() { isBlocked = false }

  mutating func connect(_ newClient: ByteStream) {
    client = newClient
    kept = keptName.map { KeptDescriptor($0, newClient.descriptor) }
    (hasInputEnded, hasOutputEnded, isBlocked) = (false, false, false)
  }

  /// Ends the input; after a hang-up also the output.
  ///
  /// - Returns: whether a client's connection has ended.
  mutating func endInput(hungUp: Bool) -> Bool {
    hasInputEnded = true
    guard hungUp, client != nil else { return false }
    kept = nil
    client = nil
    return true
  }

  /// Releases the far end.
  mutating func unplug() {
    farEnd = nil
    kept = nil
    client = nil
  }
}
