internal import CLinux
internal import VFIOUserProtocol

/// Turns received bytes and descriptors into frames: the framing of a connection as a value without
/// a socket.
///
/// Assignment of descriptors (measured on Linux, see Documentation/Server.md): the descriptors of a
/// read belong to the last message that *starts* in it, or, if none starts, to the message in
/// progress. Both are *the last message that has started so far*, which is the one rule implemented
/// below.
///
/// Positions are offsets into `storage`; adding `origin` gives positions in the stream, which stay
/// valid when bytes are moved.
@safe
public struct FrameAssembler: ~Copyable {
  /// Maximum size of a message in bytes, header included; see
  /// ``StreamError/sizeAboveLimit(_:limit:)``.
  public var messageLimit: Int
  /// Maximum number of descriptors kept per message; surplus ones are closed on arrival.
  public var descriptorLimit: Int

  // Sound: allocated by `grow`, freed in deinit; every access below stays within `storage.count`,
  // which `head <= tail <= storage.count` guarantees.
  var storage: UnsafeMutableRawBufferPointer
  /// Stream position of `storage[0]`.
  var origin = 0
  /// Start of the bytes not yet returned in a frame.
  var head = 0
  /// End of the received bytes.
  var tail = 0
  /// Start of the last message that has begun.
  var begun = 0
  /// Start of the next message; beyond `tail` while a message is incomplete, `.max` after an
  /// invalid header.
  var upcoming = 0
  var credits: [Credit] = []
  /// The sender of the descriptors; set with the first descriptor.
  var sender: PeerDescriptors?

  /// A descriptor and the stream position of the message it belongs to; number -1 marks a surplus.
  struct Credit {
    let message: Int
    let number: Int32
  }

  var capacity: Int { unsafe storage.count }

  static let initialCapacity = 64 << 10
  /// If less room than this is left behind the buffered bytes, they are moved to the front before a
  /// read.
  static let leastRoom = 4 << 10
  /// Up to this many bytes beyond the largest message are received ahead of processing.
  static let aheadLimit = 1 << 20
  /// Receiving pauses while this many descriptors belong to messages not yet processed.
  static let descriptorsAhead = 256

  /// Creates an empty assembler.
  ///
  /// - Parameters:
  ///   - messageLimit: maximum message size in bytes, header included; at least 16.
  ///   - descriptorLimit: maximum number of descriptors kept per message.
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

  /// Whether a message is buffered in part or as a whole.
  public var isInsideMessage: Bool { tail > head }

  /// Whether the last read may have left something in the socket, because it has filled the storage.
  var isFilled: Bool { tail == capacity }

  /// Whether ``next()`` has something to say, a message or an error, without another read.
  package var hasNext: Bool {
    guard let header = header(at: head) else { return false }
    return (try? validate(header)) == nil || Int(header.size) <= buffered
  }

  /// Number of buffered bytes not yet returned in a frame.
  public var buffered: Int { tail - head }

  /// Returns the next complete message, or nil if more bytes are needed.
  ///
  /// - Throws: ``StreamError`` as soon as the first buffered header is invalid, and again on each
  ///   call.
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

  /// The payload of a frame that this assembler has returned since the last receive.
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

  /// Checks what does not depend on the negotiated limit: that the header gives the end of the
  /// message.
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
