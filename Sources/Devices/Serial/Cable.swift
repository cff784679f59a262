internal import VFIOUserTransport

/// The cable between the port and its far end: what is open at the moment, in each direction.
///
/// Streams are opened and closed by the pump alone, so that none is closed while it is polled.
struct Cable: ~Copyable {
  /// Nil once it is unplugged.
  private var farEnd: FarEnd?
  private var client: ByteStream?
  private var hasInputEnded = false
  private var hasOutputEnded = false
  /// Whether the far end last said "not now"; the pump finds out when that is over.
  private(set) var isBlocked = false

  init(to farEnd: FarEnd) {
    self.farEnd = farEnd
  }

  /// Where bytes come from, nil when none will come for now.
  var input: ByteStream? {
    guard !hasInputEnded else { return nil }
    return switch farEnd {
    case .pseudoTerminal(let terminal): terminal.master
    case .streams(let pair): pair.input
    case .socket: client
    case nil: nil
    }
  }

  /// Where bytes go to, nil when nothing goes out for now.
  var output: ByteStream? {
    guard !hasOutputEnded else { return nil }
    return switch farEnd {
    case .pseudoTerminal(let terminal): terminal.master
    case .streams(let pair): pair.output
    case .socket: client
    case nil: nil
    }
  }

  /// Where somebody may come, when nobody is there.
  var listener: ListeningSocket? {
    guard case .socket(let listener) = farEnd, client == nil else { return nil }
    return listener
  }

  /// A program that has ended its output; it may still read, and it is watched for its hang-up.
  var leaving: ByteStream? { hasInputEnded ? client : nil }

  /// Whether output has nowhere to go for ever, and is thrown away.
  private var discardsOutput: Bool {
    switch farEnd {
    case .pseudoTerminal, .streams: hasOutputEnded
    case .socket: false
    case nil: true
    }
  }

  /// Sends what the far end takes.
  ///
  /// - Returns: whether that was anything.
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

  /// The far end may take something again.
  mutating func unblock() { isBlocked = false }

  mutating func connect(_ newClient: ByteStream) {
    client = newClient
    (hasInputEnded, hasOutputEnded, isBlocked) = (false, false, false)
  }

  /// Nothing more comes in; with a hang-up, nothing goes out either.
  ///
  /// - Returns: whether that was the end of a connection.
  mutating func endInput(hungUp: Bool) -> Bool {
    hasInputEnded = true
    guard hungUp, client != nil else { return false }
    client = nil
    return true
  }

  /// Lets go of the far end.
  mutating func unplug() {
    farEnd = nil
    client = nil
  }
}
