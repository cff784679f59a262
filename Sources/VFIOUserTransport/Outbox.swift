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

  // Sound: allocated here, freed in deinit; `end <= storage.count` bounds every access.
  private var storage: UnsafeMutableRawBufferPointer
  private var end = 0
  private var sends: [Send] = []
  private var descriptors: [Int32] = []

  private struct Send {
    var unsent: Range<Int>
    var descriptors: Int
  }

  /// An outbox with nothing in it.
  public init() {
    unsafe storage = .allocate(byteCount: 2 * Self.batchLimit, alignment: 16)
  }

  deinit {
    for number in descriptors { _ = OwnedDescriptor(adopting: number) }
    unsafe storage.deallocate()
  }

  /// Whether everything is sent.
  public var isEmpty: Bool { sends.isEmpty }

  /// Bytes that wait to be sent, and those that were sent since the outbox was last empty.
  public var count: Int { end }

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
    let start = end
    makeRoom(Header.wireSize + size)
    let bytes = unsafe UnsafeMutableRawBufferPointer(
      rebasing: storage[start..<start + Header.wireSize + size])
    // What a callback leaves out must not show the peer what an earlier message left here.
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
    var whole = unsafe MutableRawSpan(_unsafeBytes: bytes)
    var sized = header
    sized.size = UInt32(Header.wireSize + size)
    sized.encode(into: &whole)
    var payload = whole._mutatingExtracting(Header.wireSize...)
    try fill(&payload)
    guard !isDiscarded else { return }
    end = start + Header.wireSize + size
    enqueue(start..<end, &descriptors)
  }

  private mutating func enqueue(_ bytes: Range<Int>, _ carried: inout DescriptorList) {
    let isAlone = !carried.isEmpty
    let count = carried.count
    while let descriptor = carried.takeFirst() { descriptors.append(descriptor.release()) }
    if !isAlone, let last = sends.last, last.descriptors == 0,
      bytes.upperBound - last.unsent.lowerBound <= Self.batchLimit
    {
      sends[sends.count - 1].unsent = last.unsent.lowerBound..<bytes.upperBound
    } else {
      sends.append(Send(unsent: bytes, descriptors: count))
    }
  }

  /// Sends as much as the socket takes.
  ///
  /// - Returns: whether everything is sent; false when the socket is full.
  public mutating func send(to socket: MessageSocket) throws(StreamFailure) -> Bool {
    while let next = sends.first {
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[next.unsent])
      let carried = next.descriptors == 0 ? [] : Array(descriptors.prefix(next.descriptors))
      let sent = unsafe try socket.trySend(bytes, descriptors: carried)
      guard sent > 0 else { return false }
      forgetDescriptors(next.descriptors)
      if sent == next.unsent.count {
        sends.removeFirst()
      } else {
        sends[0] = Send(
          unsent: next.unsent.lowerBound + sent..<next.unsent.upperBound, descriptors: 0)
      }
    }
    end = 0
    return true
  }

  /// The peer has its own copies now; ours are closed.
  private mutating func forgetDescriptors(_ count: Int) {
    for number in descriptors.prefix(count) { _ = OwnedDescriptor(adopting: number) }
    descriptors.removeFirst(count)
  }

  private mutating func makeRoom(_ size: Int) {
    guard unsafe end + size > storage.count else { return }
    let larger = unsafe UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(end + size, 2 * storage.count), alignment: 16)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<end]))
    unsafe storage.deallocate()
    unsafe storage = larger
  }
}
