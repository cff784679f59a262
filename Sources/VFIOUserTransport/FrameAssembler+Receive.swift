internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol

extension FrameAssembler {
  /// Appends received bytes and the descriptors of the same read.
  ///
  /// - Returns: false if there is no room because too much has been received ahead of processing.
  /// - Throws: `ENOMEM`.
  public mutating func append(
    _ bytes: Span<UInt8>, descriptors: consuming DescriptorList = DescriptorList()
  ) throws(StreamError) -> Bool {
    var done = 0
    while done < bytes.count {
      let room = unsafe try prepareRoom()
      guard unsafe !room.isEmpty else { return false }
      let piece = bytes.extracting(done..<min(bytes.count, done + room.count))
      unsafe piece.withUnsafeBytes { unsafe room.copyMemory(from: $0) }
      received(piece.count)
      done += piece.count
    }
    let sender = sender ?? PeerDescriptors()
    while let descriptor = descriptors.takeFirst() { credit(descriptor.release(), from: sender) }
    return true
  }

  /// The buffer for the next read; empty if too much has been received ahead of processing.
  ///
  /// Makes room first: moves buffered bytes to the front and grows the storage to hold the message
  /// in progress, whose size has been checked against the limit.
  ///
  /// - Throws: `ENOMEM`.
  package mutating func prepareRoom() throws(StreamError) -> UnsafeMutableRawBufferPointer {
    guard credits.count < Self.descriptorsAhead else {
      return unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }
    if head == tail, upcoming == tail {
      startAnew()
      try grow(to: Self.initialCapacity)
      return unsafe storage
    }
    let needed = head + bytesOfMessageInFront()
    if needed > capacity || capacity - tail < Self.leastRoom { moveToFront() }
    if head + bytesOfMessageInFront() > capacity {
      try grow(to: bytesOfMessageInFront() + Self.leastRoom)
    } else if tail == capacity {
      try grow(to: min(2 * capacity, messageLimit + Self.aheadLimit))
    }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: storage[tail...])
  }

  /// Records that a read wrote `count` bytes to the buffer returned by ``prepareRoom()``.
  package mutating func received(_ count: Int) {
    tail += count
    while upcoming < tail {
      begun = upcoming
      guard let header = header(at: upcoming) else { return }
      // After an invalid header, framing cannot be recovered; `next` throws when it gets there. The
      // size limit is not checked here: it may be raised before this message is processed.
      let sound = (try? validateFraming(header)) != nil
      upcoming = sound ? upcoming + Int(header.size) : .max
    }
  }

  /// Assigns a descriptor of the read last recorded by ``received(_:)`` to its message.
  ///
  /// - Parameters:
  ///   - number: the descriptor; ownership is transferred.
  ///   - sender: who sent it; the same for all descriptors of a stream.
  package mutating func credit(_ number: Int32, from sender: PeerDescriptors) {
    self.sender = sender
    let descriptor = OwnedDescriptor(adopting: number, from: sender)
    let message = origin + begun
    let mine = credits.reversed().prefix { $0.message == message }
    if mine.count < descriptorLimit {
      credits.append(Credit(message: message, number: descriptor.release()))
    } else if mine.first?.number != -1 {
      credits.append(Credit(message: message, number: -1))
    }
  }

  /// Size of the first buffered message in bytes, or that of a header if the size is not known yet.
  private func bytesOfMessageInFront() -> Int {
    guard let header = header(at: head), (try? validate(header)) != nil else {
      return Header.wireSize
    }
    return Int(header.size)
  }

  /// Resets the positions while the buffer is empty, so that the next read starts at the front.
  private mutating func startAnew() {
    origin += tail
    begun -= tail
    head = 0
    tail = 0
    upcoming = 0
  }

  private mutating func moveToFront() {
    guard head > 0 else { return }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage[head..<tail])
    unsafe storage.copyMemory(from: bytes)
    origin += head
    tail -= head
    begun -= head
    if upcoming != .max { upcoming -= head }
    head = 0
  }

  /// Grows the storage with an allocation that may fail.
  ///
  /// The peer chooses the size, within limits, and mapping the peer's memory may have used up the
  /// address space; a Swift allocation would end the process on failure.
  private mutating func grow(to size: Int) throws(StreamError) {
    guard size > capacity else { return }
    guard let start = unsafe clinux_allocate(size) else {
      throw .system(SystemCallError(call: "malloc", code: .noMemory))
    }
    let larger = unsafe UnsafeMutableRawBufferPointer(start: start, count: size)
    unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<tail]))
    unsafe clinux_free(storage.baseAddress)
    unsafe storage = larger
  }
}
