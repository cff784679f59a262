import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

/// A message as a peer sends it, with one sendmsg.
struct Sent {
  var bytes: [UInt8]
  var tags: [Int] = []
}

/// What the assembler made of it.
struct Received: Equatable {
  var header: Header
  var payload: [UInt8]
  var tags: [Int]
}

/// Cuts a stream into reads as Linux does: a read goes through data without descriptors, takes the
/// descriptors of the first data that has some, and returns no byte behind that data.
func reads(of messages: [Sent], sizes: (Int) -> Int) -> [Sent] {
  var left = messages
  var reads: [Sent] = []
  while !left.isEmpty {
    var room = sizes(reads.count)
    var read = Sent(bytes: [])
    while room > 0, !left.isEmpty {
      let piece = min(room, left[0].bytes.count)
      read.bytes += left[0].bytes.prefix(piece)
      let hadDescriptors = !left[0].tags.isEmpty
      read.tags += left[0].tags
      left[0].tags = []
      left[0].bytes.removeFirst(piece)
      room -= piece
      if left[0].bytes.isEmpty { left.removeFirst() }
      if hadDescriptors { break }
    }
    reads.append(read)
  }
  return reads
}

func drain(_ assembler: inout FrameAssembler, into frames: inout [Received]) throws {
  while var frame = try assembler.next() {
    let payload = assembler.payload(of: frame)
    var tags: [Int] = []
    while let descriptor = frame.descriptors.takeFirst() { tags.append(tag(of: descriptor)) }
    frames.append(
      Received(header: frame.header, payload: payload.indices.map { payload[$0] }, tags: tags))
  }
}

func assemble(
  _ reads: [Sent], messageLimit: Int = Limits.messageBeforeNegotiation, descriptorLimit: Int = 16
) throws -> [Received] {
  var assembler = FrameAssembler(messageLimit: messageLimit, descriptorLimit: descriptorLimit)
  var frames: [Received] = []
  for read in reads {
    var descriptors = DescriptorList()
    for tag in read.tags { descriptors.append(taggedDescriptor(tag)) }
    #expect((try? assembler.append(read.bytes.span, descriptors: descriptors)) == true)
    try drain(&assembler, into: &frames)
  }
  return frames
}

@Suite struct `Frame assembler` {
  /// Bare, with descriptors, with a payload, again with descriptors, and a bare one behind it.
  static let sequence = [
    Sent(bytes: message(.deviceReset, id: 1)),
    Sent(bytes: message(.dmaMap, id: 2, Array(1...32)), tags: [4096, 8192]),
    Sent(bytes: message(.regionWrite, id: 3, Array(0...40))),
    Sent(bytes: message(.dmaMap, id: 4, Array(2...33)), tags: [12288]),
    Sent(bytes: message(.deviceGetInfo, id: 5, [9])),
  ]

  static let whole = sequence.enumerated().map { index, sent in
    Received(
      header: Header(
        id: UInt16(index + 1),
        command: [.deviceReset, .dmaMap, .regionWrite, .dmaMap, .deviceGetInfo][index],
        size: UInt32(sent.bytes.count), flags: []),
      payload: Array(sent.bytes.dropFirst(16)), tags: sent.tags)
  }

  @Test(arguments: 1...220)
  func `The frame assembler yields the same frames for each read size`(size: Int) throws {
    #expect(try assemble(reads(of: Self.sequence) { _ in size }) == Self.whole)
  }

  @Test(arguments: 1...220)
  func `The frame assembler yields the same frames wherever the first read ends`(cut: Int) throws {
    #expect(try assemble(reads(of: Self.sequence) { $0 == 0 ? cut : 1000 }) == Self.whole)
  }

  @Test func `The frame assembler yields the same frames for a thousand random splits`() throws {
    var random = SplitMix64(seed: 1)
    for _ in 0..<1000 {
      let cuts = (0..<300).map { _ in Int.random(in: 1...60, using: &random) }
      #expect(try assemble(reads(of: Self.sequence) { cuts[$0] }) == Self.whole)
    }
  }

  @Test
  func `The frame assembler assigns the descriptors of a read to the message that starts in it`()
    throws
  {
    let large = message(.regionWrite, id: 1, [UInt8](repeating: 7, count: 50_000))
    let reads = [
      Sent(bytes: Array(large[..<36_000]), tags: [4096]),
      Sent(bytes: Array(large[36_000...]) + message(.dmaMap, id: 2), tags: [8192]),
    ]
    #expect(try assemble(reads).map(\.tags) == [[4096], [8192]])
  }

  @Test(arguments: [0, 1, 15])
  func `The frame assembler refuses a size below that of the header`(size: UInt32) {
    #expect(throws: StreamError.sizeBelowHeader(size)) {
      try assemble([Sent(bytes: message(.deviceReset, size: size))])
    }
  }

  @Test(arguments: [65_537, .max] as [UInt32])
  func `The frame assembler refuses a size above the limit before the body arrives`(size: UInt32) {
    #expect(throws: StreamError.sizeAboveLimit(size, limit: 65_536)) {
      try assemble([Sent(bytes: message(.deviceReset, size: size))])
    }
  }

  @Test func `The frame assembler accepts a message of exactly the limit`() throws {
    let largest = message(.regionWrite, [UInt8](repeating: 1, count: 65_520))
    #expect(try assemble([Sent(bytes: largest)]).map(\.header.size) == [65_536])
  }

  @Test(arguments: 2...15)
  func `The frame assembler refuses a type that is neither command nor reply`(type: UInt32) {
    #expect(throws: StreamError.unknownType(type)) {
      try assemble([Sent(bytes: message(.deviceReset, flags: MessageFlags(rawValue: type)))])
    }
  }

  @Test
  func `The frame assembler yields valid messages before a bad one and then fails permanently`()
    throws
  {
    var assembler = FrameAssembler(messageLimit: 65_536, descriptorLimit: 1)
    let stream = message(.deviceReset, id: 7) + message(.deviceReset, size: 3)
    #expect((try? assembler.append(stream.span)) == true)
    #expect(try assembler.next()?.header.id == 7)
    for _ in 0..<2 {
      do {
        _ = try assembler.next()
        Issue.record("the bad header was taken")
      } catch {
        #expect(error == .sizeBelowHeader(3))
      }
    }
  }

  @Test func `The frame assembler closes surplus descriptors and marks the frame`() async {
    await #expect(processExitsWith: .success) {
      let before = settledDescriptors()
      do {
        var assembler = FrameAssembler(messageLimit: 65_536, descriptorLimit: 2)
        var descriptors = DescriptorList()
        for tag in 1...5 { descriptors.append(taggedDescriptor(4096 * tag)) }
        #expect((try? assembler.append(message(.dmaMap).span, descriptors: descriptors)) == true)
        #expect(openDescriptors() == before + 2)
        guard let frame = try assembler.next() else { fatalError("no frame") }
        #expect(frame.hadSurplusDescriptors == true)
        #expect(frame.descriptors.count == 2)
      }
      #expect(openDescriptors() == before)
    }
  }

  @Test func `The frame assembler closes the descriptors that it holds when it is destroyed`() async
  {
    await #expect(processExitsWith: .success) {
      let before = settledDescriptors()
      do {
        var assembler = FrameAssembler(messageLimit: 65_536, descriptorLimit: 4)
        var descriptors = DescriptorList()
        for tag in 1...3 { descriptors.append(taggedDescriptor(tag)) }
        #expect(
          (try? assembler.append(Array(message(.dmaMap)[..<9]).span, descriptors: descriptors))
            == true)
        #expect(openDescriptors() == before + 3)
      }
      #expect(openDescriptors() == before)
    }
  }

  @Test func `The frame assembler stops taking bytes when too much is received ahead`() throws {
    var assembler = FrameAssembler(messageLimit: 65_536, descriptorLimit: 0)
    let piece = message(.deviceReset, [UInt8](repeating: 0, count: 1000))
    var taken = 0
    while try assembler.append(piece.span) { taken += piece.count }
    #expect(taken > 1 << 20)
    #expect(taken < (1 << 20) + 65_536 + 2 * piece.count)
  }
}
