internal import CLinux
internal import VFIOUserProtocol

/// Bytes and descriptors in, frames out: the framing of a connection as a value without a socket.
///
/// Credit of descriptors (measured on Linux, see ARCHITECTURE.md): the descriptors of a read belong to
/// the last message that *starts* in it, or, where none starts, to the message in progress. Both are
/// *the last message that has started so far*, which is the one rule below.
///
/// Positions are offsets into `storage`; `origin` turns them into positions in the stream, which stay
/// true when bytes move.
@safe
public struct FrameAssembler: ~Copyable {
  /// Most bytes of a message, header included; more is ``StreamError/sizeAboveLimit(_:limit:)``.
  public var messageLimit: Int
  /// Most descriptors kept for a message; a surplus is closed on arrival.
  public var descriptorLimit: Int

  // Sound: allocated by `prepareRoom`, freed in deinit; every access below stays within `storage.count`,
  // which `head <= tail <= storage.count` guarantees.
  var storage: UnsafeMutableRawBufferPointer
  /// Stream position of `storage[0]`.
  var origin = 0
  /// The first byte that was not handed out.
  var head = 0
  /// The end of what was received.
  var tail = 0
  /// Where the last message that has started begins.
  var begun = 0
  /// Where the next message begins; beyond `tail` while one is in progress, `.max` after a bad header.
  var upcoming = 0
  var credits: [Credit] = []
  /// Whose descriptors these are; known with the first.
  var sender: PeerDescriptors?

  /// A descriptor and the stream position of the message that it came with; -1 marks a surplus.
  struct Credit {
    let message: Int
    let number: Int32
  }

  var capacity: Int { unsafe storage.count }

  static let initialCapacity = 64 << 10
  /// With less room than this behind the bytes in hand, they move to the front before a read.
  static let leastRoom = 4 << 10
  /// Messages are received ahead of their handling up to this many bytes beyond the largest one.
  static let aheadLimit = 1 << 20
  /// Nothing more is received while so many descriptors wait for their messages to be handled.
  static let descriptorsAhead = 256

  /// An assembler without a byte in it.
  ///
  /// - Parameters:
  ///   - messageLimit: bytes, header included; at least 16.
  ///   - descriptorLimit: descriptors kept per message.
  public init(messageLimit: Int, descriptorLimit: Int) {
    precondition(messageLimit >= Header.wireSize, "no message fits into \(messageLimit) bytes")
    self.messageLimit = messageLimit
    self.descriptorLimit = descriptorLimit
    unsafe storage = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  deinit {
    let numbers = credits.map(\.number).filter { $0 >= 0 }
    if let sender { _ = DescriptorList(adopting: numbers, from: sender) }
    unsafe clinux_free(storage.baseAddress)
  }

  /// Whether a message has begun and not ended.
  public var isInsideMessage: Bool { tail > head }

  /// Bytes that are in hand and were not handed out.
  public var buffered: Int { tail - head }

  /// The next complete message, or nil when more has to be received first.
  ///
  /// - Throws: ``StreamError`` as soon as the header in front is unsound, again at each call.
  public mutating func next() throws(StreamError) -> Frame? {
    guard let header = header(at: head) else { return nil }
    try validate(header)
    let end = head + Int(header.size)
    guard end <= tail else { return nil }
    let payload = head + Header.wireSize..<end
    let message = origin + head
    head = end
    if let sender, !credits.isEmpty {
      let (descriptors, surplus) = takeCredits(of: message)
      return Frame(
        header: header, descriptors: DescriptorList(adopting: descriptors, from: sender),
        hadSurplusDescriptors: surplus, payload: payload)
    }
    return Frame(
      header: header, descriptors: DescriptorList(), hadSurplusDescriptors: false,
      payload: payload)
  }

  /// The payload of a frame that this assembler made since the last receive.
  @_lifetime(borrow self)
  public borrowing func payload(of frame: borrowing Frame) -> Span<UInt8> {
    precondition(frame.payload.upperBound <= tail, "the frame is of an earlier receive")
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[frame.payload])
    // Sound: the bytes are within `storage`, which lives as long as self, and a receive needs
    // exclusive access to self.
    let span = unsafe Span<UInt8>(_unsafeBytes: bytes)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  func header(at position: Int) -> Header? {
    guard tail - position >= Header.wireSize else { return nil }
    let bytes = unsafe UnsafeRawBufferPointer(
      rebasing: storage[position..<position + Header.wireSize])
    return unsafe try? Header(decoding: Span(_unsafeBytes: bytes))
  }

  func validate(_ header: Header) throws(StreamError) {
    try validateFraming(header)
    guard Int(header.size) <= messageLimit else {
      throw .sizeAboveLimit(header.size, limit: messageLimit)
    }
  }

  /// What holds whatever limit was agreed: the end of a message can be told from its header.
  func validateFraming(_ header: Header) throws(StreamError) {
    guard header.size >= Header.wireSize else { throw .sizeBelowHeader(header.size) }
    guard header.flags.type <= 1 else { throw .unknownType(header.flags.type) }
  }

  private mutating func takeCredits(of message: Int) -> (numbers: [Int32], surplus: Bool) {
    guard !credits.isEmpty, credits[0].message == message else { return ([], false) }
    let count = credits.firstIndex { $0.message != message } ?? credits.count
    let mine = credits[..<count].map(\.number)
    credits.removeFirst(count)
    return (mine.filter { $0 >= 0 }, mine.contains(-1))
  }
}
