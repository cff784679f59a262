internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol

extension FrameAssembler {
  /// Takes in bytes and the descriptors that one read brought with them.
  ///
  /// - Returns: false when there is no room, because too much was received ahead of its handling.
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

  /// Where the next read may write to, empty when too much was received ahead of its handling.
  ///
  /// Makes room first: bytes in hand move to the front, and the storage grows to hold the message in
  /// progress, whose size was compared with the limit.
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

  /// Notes that a read wrote `count` bytes where ``prepareRoom()`` said.
  package mutating func received(_ count: Int) {
    tail += count
    while upcoming < tail {
      begun = upcoming
      guard let header = header(at: upcoming) else { return }
      // After an unsound header nothing is guessed; `next` reports it when its turn comes. The limit of a
      // message is no matter here: it may be raised before the turn of this one has come.
      let sound = (try? validateFraming(header)) != nil
      upcoming = sound ? upcoming + Int(header.size) : .max
    }
  }

  /// Credits a descriptor of the read that ``received(_:)`` has just noted.
  ///
  /// - Parameters:
  ///   - number: nobody else closes it.
  ///   - sender: who sent it, the same for all descriptors of a stream.
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

  /// Bytes that the message in front will have, its header when that is all one can say.
  private func bytesOfMessageInFront() -> Int {
    guard let header = header(at: head), (try? validate(header)) != nil else {
      return Header.wireSize
    }
    return Int(header.size)
  }

  /// Nothing is in hand: what comes next goes to the front.
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

  /// The peer chooses the size, within limits, and what it has us map may leave no memory for it: so no
  /// allocation that ends the process when it fails.
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
