internal import CLinux
package import SystemPackage
public import VFIOUserProtocol

/// Outgoing messages, sent together where that is safe.
///
/// One send carries at most 32 KiB of whole messages: above about 36 KiB the kernel cuts anywhere,
/// also inside a header, and QEMU treats a partly received header as a fatal error. A larger
/// message starts a send of its own, and so does one with descriptors, which must not share a send
/// with any other. Only the message that was cut is resumed.
@safe
public struct Outbox: ~Copyable {
  /// Maximum number of bytes in one send of several messages.
  public static let batchLimit = 32 << 10

  // Sound: allocated by `grow`, freed in deinit; `end <= storage.count` bounds every access.
  var storage: UnsafeMutableRawBufferPointer
  var end = 0
  /// Complete sends, in front of the open one; nothing is added to them.
  var closed: [Send] = []
  /// Index of the first complete send not yet done; the array is cleared once all are done.
  var nextClosed = 0
  /// The send to which messages are still added; if not empty, it reaches to `end`.
  var open = 0..<0
  var descriptors: [Int32] = []
  /// Total number of bytes accepted by sockets.
  package private(set) var taken: UInt64 = 0
  /// Whether a message was lost because memory could not be allocated.
  private var lacksMemory = false
  /// Whether the last send stopped because too many descriptors are in flight (`ETOOMANYREFS`).
  package private(set) var lacksReferences = false
  /// How long to wait before a retry if ``lacksReferences`` is set, because no event reports the
  /// end of it.
  package static let pause: Duration = .milliseconds(1)
  /// How often the outbox was emptied since it last held more than ``initialCapacity``.
  private var smallUses = 0

  private static let initialCapacity = 2 * batchLimit
  /// After this many sends that fit into ``initialCapacity``, the larger storage is freed; not
  /// sooner, so that consecutive large reads do not allocate each time.
  package static let patience = 64

  /// Allocated bytes.
  package var capacity: Int { unsafe storage.count }

  struct Send {
    var unsent: Range<Int>
    var descriptors: Int
  }

  /// Creates an empty outbox.
  public init() { unsafe storage = UnsafeMutableRawBufferPointer(start: nil, count: 0) }

  deinit {
    for number in descriptors { _ = OwnedDescriptor(adopting: number) }
    unsafe clinux_free(storage.baseAddress)
  }

  /// Whether everything has been sent.
  public var isEmpty: Bool { open.isEmpty && nextClosed == closed.count && !lacksMemory }

  /// Bytes waiting to be sent, plus those sent since the outbox was last empty.
  public var count: Int { end }

  /// Bytes waiting to be sent.
  public var unsentCount: Int { isEmpty ? 0 : end - firstUnsent }

  private var firstUnsent: Int {
    nextClosed < closed.count ? closed[nextClosed].unsent.lowerBound : open.lowerBound
  }

  /// Whether a full send is waiting, so that the outbox should be flushed before more is appended.
  public var isFull: Bool { end >= Self.batchLimit }

  /// Appends a message without a payload.
  public mutating func append(_ header: Header) {
    append(header, payload: 0) { _ in }
  }

  /// Appends a message; the size in the header is set from the payload.
  public mutating func append(
    _ header: Header, _ payload: some WireEncodable,
    descriptors: consuming DescriptorList = DescriptorList()
  ) {
    append(header, payload: payload.wireSize, descriptors: descriptors) {
      payload.encode(into: &$0)
    }
  }

  /// Appends a message whose payload is written in place; appends nothing if `fill` throws.
  ///
  /// - Parameters:
  ///   - header: its size is set here.
  ///   - size: size of the payload in bytes.
  ///   - isDiscarded: for a message that is not wanted: `fill` runs, but nothing is appended.
  ///   - descriptors: sent with the first byte of the message.
  ///   - fill: writes the payload into `size` zeroed bytes.
  public mutating func append<Failure: Error>(
    _ header: Header, payload size: Int, discarding isDiscarded: Bool = false,
    descriptors: consuming DescriptorList = DescriptorList(),
    fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    guard makeRoom(Header.wireSize + size) else { return }
    var payload = reserved(size, isZeroed: true)
    try fill(&payload)
    guard !isDiscarded else { return }
    commit(header, payload: size, descriptors: descriptors)
  }

  /// Lends room for the payload of the next message; ``commit(_:payload:descriptors:)`` appends it.
  ///
  /// - Parameters:
  ///   - size: in bytes.
  ///   - isZeroed: pass false only if every byte of the payload is written; otherwise the peer sees
  ///     the
  ///     contents of an earlier message.
  /// - Throws: `ENOMEM`; a reply without a payload may still fit.
  @_lifetime(&self)
  package mutating func reserve(
    payload size: Int, isZeroed: Bool = true
  ) throws(Errno) -> MutableRawSpan {
    let lackedMemory = lacksMemory
    guard makeRoom(Header.wireSize + size) else {
      lacksMemory = lackedMemory
      throw .noMemory
    }
    return reserved(size, isZeroed: isZeroed)
  }

  @_lifetime(&self)
  private mutating func reserved(_ size: Int, isZeroed: Bool) -> MutableRawSpan {
    let start = end + Header.wireSize
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: storage[start..<start + size])
    if isZeroed { unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    // Sound: within `storage`, which stays in place while self is exclusively borrowed.
    let span = unsafe MutableRawSpan(_unsafeBytes: bytes)
    return unsafe _overrideLifetime(span, mutating: &self)
  }

  /// Appends the message whose payload was written to the room reserved last.
  ///
  /// - Parameters:
  ///   - header: its size is set here.
  ///   - size: size of the payload in bytes, at most what was reserved.
  ///   - descriptors: sent with the first byte of the message.
  package mutating func commit(
    _ header: Header, payload size: Int, descriptors: consuming DescriptorList = DescriptorList()
  ) {
    let start = end
    end = start + Header.wireSize + size
    let bytes = unsafe UnsafeMutableRawBufferPointer(
      rebasing: storage[start..<start + Header.wireSize])
    var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
    var sized = header
    sized.size = UInt32(Header.wireSize + size)
    sized.encode(into: &span)
    enqueue(start..<end, &descriptors)
  }

  private mutating func enqueue(_ bytes: Range<Int>, _ carried: inout DescriptorList) {
    guard carried.isEmpty else {
      let count = carried.count
      while let descriptor = carried.takeFirst() { descriptors.append(descriptor.release()) }
      closeOpen()
      return closed.append(Send(unsent: bytes, descriptors: count))
    }
    if open.isEmpty {
      open = bytes
    } else if bytes.upperBound - open.lowerBound <= Self.batchLimit {
      open = open.lowerBound..<bytes.upperBound
    } else {
      closeOpen()
      open = bytes
    }
  }

  private mutating func closeOpen() {
    guard !open.isEmpty else { return }
    closed.append(Send(unsent: open, descriptors: 0))
    open = 0..<0
  }

  /// Sends as much as the socket accepts.
  ///
  /// - Returns: whether everything has been sent; false if the socket is full.
  /// - Throws: `ENOMEM` if a message was lost for lack of memory; any error of the socket.
  public mutating func send(to socket: MessageSocket) throws(StreamError) -> Bool {
    lacksReferences = false
    guard !lacksMemory else { throw .system(SystemCallError(call: "malloc", code: .noMemory)) }
    if nextClosed < closed.count, try !sendClosed(to: socket) { return false }
    while !open.isEmpty {
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[open])
      let sent = unsafe try socket.trySend(bytes)
      taken &+= UInt64(sent)
      open = open.lowerBound + sent..<open.upperBound
      // A part only: the socket is full, and asking it again costs a call.
      guard open.isEmpty else { return false }
    }
    if unsafe storage.count > Self.initialCapacity { giveBackUnused() }
    end = 0
    return true
  }

  private mutating func giveBackUnused() {
    smallUses = end > Self.initialCapacity ? 0 : smallUses + 1
    guard smallUses >= Self.patience else { return }
    smallUses = 0
    unsafe clinux_free(storage.baseAddress)
    unsafe storage = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  private mutating func sendClosed(to socket: MessageSocket) throws(StreamError) -> Bool {
    while nextClosed < closed.count {
      let next = closed[nextClosed]
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[next.unsent])
      let carried = next.descriptors == 0 ? [] : Array(descriptors.prefix(next.descriptors))
      let sent = unsafe try socket.trySend(bytes, descriptors: carried)
      lacksReferences = sent == nil
      guard let sent, sent > 0 else { return false }
      taken &+= UInt64(sent)
      if next.descriptors > 0 { forgetDescriptors(next.descriptors) }
      if sent == next.unsent.count {
        nextClosed += 1
      } else {
        closed[nextClosed] = Send(
          unsent: next.unsent.lowerBound + sent..<next.unsent.upperBound, descriptors: 0)
      }
    }
    closed.removeAll(keepingCapacity: true)
    nextClosed = 0
    return true
  }

  /// Records that a message was lost for lack of memory; the next ``send(to:)`` throws.
  package mutating func loseMessage() { lacksMemory = true }

  /// Drops all unsent messages and closes their descriptors.
  package mutating func discard() {
    forgetDescriptors(descriptors.count)
    closed.removeAll(keepingCapacity: true)
    nextClosed = 0
    open = 0..<0
    end = 0
  }

  /// Closes our copies of descriptors that were sent or dropped.
  private mutating func forgetDescriptors(_ count: Int) {
    for number in descriptors.prefix(count) { _ = OwnedDescriptor(adopting: number) }
    descriptors.removeFirst(count)
  }

  /// Makes room for `size` bytes.
  ///
  /// - Returns: whether there is room; if not, a message is lost and the next send throws.
  mutating func makeRoom(_ size: Int) -> Bool {
    guard unsafe end + size > storage.count else { return true }
    // A peer that reads, but never everything, must not make the storage grow without bound.
    if !isEmpty, firstUnsent > end / 2 { moveToFront() }
    if unsafe end + size > storage.count, !grow(by: size) { lacksMemory = true }
    return !lacksMemory
  }

  /// Moves the unsent bytes to the front.
  private mutating func moveToFront() {
    let sent = firstUnsent
    unsafe storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[sent..<end]))
    closed.removeFirst(nextClosed)
    nextClosed = 0
    for place in closed.indices {
      let unsent = closed[place].unsent
      closed[place].unsent = unsent.lowerBound - sent..<unsent.upperBound - sent
    }
    if !open.isEmpty { open = open.lowerBound - sent..<open.upperBound - sent }
    end -= sent
  }

  /// Grows the storage with an allocation that may fail.
  ///
  /// Mapping the peers' memory may have used up the address space; a Swift allocation would end the
  /// process.
  private mutating func grow(by size: Int) -> Bool {
    let count = unsafe max(end + size, 2 * storage.count, Self.initialCapacity)
    guard let start = unsafe clinux_allocate(count) else { return false }
    let larger = unsafe UnsafeMutableRawBufferPointer(start: start, count: count)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<end]))
    unsafe clinux_free(storage.baseAddress)
    unsafe storage = larger
    return true
  }
}
