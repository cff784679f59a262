internal import CLinux
package import SystemPackage
public import VFIOUserProtocol

/// Messages on their way out, sent together where that is safe.
///
/// A send carries at most 32 KiB of whole messages: above about 36 KiB the kernel cuts wherever it
/// likes, also inside a header, and QEMU takes half a header as the end of the world. A larger message
/// starts a send of its own, and so does one with descriptors, which must not share a send with any
/// other. Only the message that was cut is resumed.
@safe
public struct Outbox: ~Copyable {
  /// Most bytes of one send of several messages.
  public static let batchLimit = 32 << 10

  // Sound: allocated by `makeRoom`, freed in deinit; `end <= storage.count` bounds every access.
  private var storage: UnsafeMutableRawBufferPointer
  private var end = 0
  /// Sends to which nothing is added any more, in front of the open one.
  private var closed: [Send] = []
  /// The first of them that is not done; the array is emptied as a whole, when all are.
  private var nextClosed = 0
  /// The send to which messages are still added; when it is not empty, it reaches to `end`.
  private var open = 0..<0
  private var descriptors: [Int32] = []
  /// Bytes that sockets have taken, ever.
  package private(set) var taken: UInt64 = 0
  /// Whether a message was lost because there was no memory for it.
  private var lacksMemory = false
  /// Whether the last send stopped because too many descriptors are under way, not because the socket is full.
  package private(set) var lacksReferences = false
  /// How long to wait before a send that ``lacksReferences`` has stopped is tried again: no event tells when.
  package static let pause: Duration = .milliseconds(1)
  /// How often it was emptied since it held more than ``initialCapacity``.
  private var smallUses = 0

  private static let initialCapacity = 2 * batchLimit
  /// After so many sends that would have fitted into ``initialCapacity``, what a large message took is
  /// given back: not sooner, so that large reads in a row do not allocate each time.
  package static let patience = 64

  /// Bytes that it has taken for messages.
  package var capacity: Int { unsafe storage.count }

  private struct Send {
    var unsent: Range<Int>
    var descriptors: Int
  }

  /// An outbox with nothing in it.
  public init() { unsafe storage = UnsafeMutableRawBufferPointer(start: nil, count: 0) }

  deinit {
    for number in descriptors { _ = OwnedDescriptor(adopting: number) }
    unsafe clinux_free(storage.baseAddress)
  }

  /// Whether everything is sent.
  public var isEmpty: Bool { open.isEmpty && nextClosed == closed.count && !lacksMemory }

  /// Bytes that wait to be sent, and those that were sent since the outbox was last empty.
  public var count: Int { end }

  /// Bytes that wait to be sent.
  public var unsentCount: Int { isEmpty ? 0 : end - firstUnsent }

  private var firstUnsent: Int {
    nextClosed < closed.count ? closed[nextClosed].unsent.lowerBound : open.lowerBound
  }

  /// Whether a full send is waiting, so that it is time to flush before more is appended.
  public var isFull: Bool { end >= Self.batchLimit }

  /// Appends a message without a payload.
  public mutating func append(_ header: Header) {
    append(header, payload: 0) { _ in }
  }

  /// Appends a message; the header's size is set to what the payload takes.
  public mutating func append(
    _ header: Header, _ payload: some WireEncodable,
    descriptors: consuming DescriptorList = DescriptorList()
  ) {
    append(header, payload: payload.wireSize, descriptors: descriptors) {
      payload.encode(into: &$0)
    }
  }

  /// Appends a message whose payload is written in place; nothing is appended when `fill` throws.
  ///
  /// - Parameters:
  ///   - header: its size is set here.
  ///   - size: bytes of the payload.
  ///   - isDiscarded: for a message that nobody wants: `fill` runs, nothing is appended.
  ///   - descriptors: ride on the message's first byte.
  ///   - fill: gets `size` bytes, zeroed, to write to.
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
  ///   - size: bytes.
  ///   - isZeroed: switched off for a payload of which every byte is written: what is left out shows
  ///     the peer what an earlier message left here.
  /// - Throws: `ENOMEM`; an answer without a payload may still find room.
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

  /// Appends the message whose payload was written to the room that was reserved last.
  ///
  /// - Parameters:
  ///   - header: its size is set here.
  ///   - size: bytes of the payload, at most what was reserved.
  ///   - descriptors: ride on the message's first byte.
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

  /// Sends as much as the socket takes.
  ///
  /// - Returns: whether everything is sent; false when the socket is full.
  /// - Throws: `ENOMEM` when a message was lost for want of memory; what the socket says.
  public mutating func send(to socket: MessageSocket) throws(StreamError) -> Bool {
    lacksReferences = false
    guard !lacksMemory else { throw .system(SystemCallError(call: "malloc", code: .noMemory)) }
    if nextClosed < closed.count, try !sendClosed(to: socket) { return false }
    while !open.isEmpty {
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[open])
      let sent = unsafe try socket.trySend(bytes)
      guard sent > 0 else { return false }
      taken &+= UInt64(sent)
      open = open.lowerBound + sent..<open.upperBound
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

  /// A message could not be made for want of memory; the next ``send(to:)`` says so.
  package mutating func loseMessage() { lacksMemory = true }

  /// Forgets every message that was not sent, and closes its descriptors.
  package mutating func discard() {
    forgetDescriptors(descriptors.count)
    closed.removeAll(keepingCapacity: true)
    nextClosed = 0
    open = 0..<0
    end = 0
  }

  /// The peer has its own copies now; ours are closed.
  private mutating func forgetDescriptors(_ count: Int) {
    for number in descriptors.prefix(count) { _ = OwnedDescriptor(adopting: number) }
    descriptors.removeFirst(count)
  }

  /// - Returns: whether there is room; without it a message is lost, and the next send says so.
  private mutating func makeRoom(_ size: Int) -> Bool {
    guard unsafe end + size > storage.count else { return true }
    // A peer that reads, but never everything, must not make this grow for ever.
    if !isEmpty, firstUnsent > end / 2 { moveToFront() }
    if unsafe end + size > storage.count, !grow(by: size) { lacksMemory = true }
    return !lacksMemory
  }

  /// Forgets what was sent.
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

  /// What peers have us map may leave no memory: so no allocation that ends the process when it fails.
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
