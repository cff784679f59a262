internal import VFIOUserProtocol

/// Reads a capture of ours, as far as it goes.
package struct CaptureReader: Sendable {
  private let bytes: [UInt8]
  private var place = 0
  private var interfaces: [Interface?] = []
  private var packets = 0

  /// What the section says it is of.
  package private(set) var description: String?

  /// Why reading has ended before the end of the file; nil at its end.
  package private(set) var defect: CaptureDefect?

  private struct Interface: Sendable {
    let connection: Int
    let isTwin: Bool
    let resolution: UInt8
  }

  private static let mostInterfaces = 1 << 16

  /// Reads a whole file.
  ///
  /// - Throws: if it is no pcapng file, or one of a machine with another byte order.
  package init(_ bytes: [UInt8]) throws(CaptureDefect) {
    self.bytes = bytes
    guard bytes.count >= 12 else { throw .noCapture }
    guard word(0) == CaptureFormat.Block.section else { throw .noCapture }
    if word(8) == CaptureFormat.byteOrderMagic.byteSwapped { throw .bigEndian }
    guard word(8) == CaptureFormat.byteOrderMagic else { throw .noCapture }
  }

  /// The next message; nil at the end, and where ``defect`` tells that the file is cut or broken.
  package mutating func next() -> TracedMessage? {
    var found: TracedMessage?
    while let block = nextBlock() {
      if block.type == CaptureFormat.Block.continuation, found != nil {
        extend(&found, block.body)
      } else if found != nil {
        // The next packet is read again.
        place = block.start
        break
      } else {
        found = take(block)
      }
    }
    return found
  }

  private struct Block {
    let type: UInt32
    let start: Int
    /// Between the first length and the second.
    let body: Range<Int>
  }

  private mutating func nextBlock() -> Block? {
    guard defect == nil, place < bytes.count else { return nil }
    let left = bytes.count - place
    guard left >= 12 else {
      defect = .cut(at: place)
      return nil
    }
    let length = Int(word(place + 4))
    guard length >= 12, length % 4 == 0 else {
      defect = .broken(at: place)
      return nil
    }
    guard length <= left else {
      defect = .cut(at: place)
      return nil
    }
    guard Int(word(place + length - 4)) == length else {
      defect = .broken(at: place)
      return nil
    }
    defer { place += length }
    return Block(type: word(place), start: place, body: place + 8..<place + length - 4)
  }

  private mutating func take(_ block: Block) -> TracedMessage? {
    switch block.type {
    case CaptureFormat.Block.section:
      interfaces = []
      options(from: block.body.lowerBound + 16, to: block.body.upperBound) { code, value in
        guard code == CaptureFormat.Option.comment else { return }
        description = String(decoding: bytes[value], as: UTF8.self)
      }
      return nil
    case CaptureFormat.Block.interface:
      addInterface(block.body)
      return nil
    case CaptureFormat.Block.packet: return packet(block)
    default: return nil
    }
  }

  private mutating func addInterface(_ body: Range<Int>) {
    guard body.count >= 8, interfaces.count < Self.mostInterfaces else { return }
    var name = ""
    var resolution: UInt8 = 6
    options(from: body.lowerBound + 8, to: body.upperBound) { code, value in
      if code == CaptureFormat.Option.name { name = String(decoding: bytes[value], as: UTF8.self) }
      if code == CaptureFormat.Option.resolution, let first = value.first {
        resolution = bytes[first]
      }
    }
    guard half(body.lowerBound) == CaptureFormat.linkType else {
      interfaces.append(nil)
      return
    }
    let socket = CaptureFormat.socket(named: name) ?? (interfaces.count + 1, false)
    interfaces.append(
      Interface(connection: socket.0, isTwin: socket.1, resolution: resolution))
  }

  private mutating func packet(_ block: Block) -> TracedMessage? {
    packets += 1
    let body = block.body
    guard body.count >= 20 else {
      defect = .broken(at: block.start)
      return nil
    }
    let start = body.lowerBound
    let captured = Int(word(start + 12))
    guard captured <= body.count - 20 else {
      defect = .broken(at: block.start)
      return nil
    }
    let number = Int(word(start))
    guard interfaces.indices.contains(number), let interface = interfaces[number] else {
      return nil
    }
    var message = TracedMessage(
      instant: nanoseconds(
        UInt64(word(start + 4)) << 32 | UInt64(word(start + 8)), interface.resolution),
      stream: TracedStream(
        connection: interface.connection, isTwin: interface.isTwin, direction: .toServer),
      bytes: Array(bytes[start + 20..<start + 20 + captured]), wireSize: Int(word(start + 16)))
    let first = start + 20 + CaptureFormat.padded(captured)
    options(from: min(first, body.upperBound), to: body.upperBound) { code, value in
      note(code, value, &message)
    }
    message.number = packets
    return message
  }

  private func note(_ code: UInt16, _ value: Range<Int>, _ message: inout TracedMessage) {
    if code == CaptureFormat.Option.packetFlags, value.count == 4 {
      message.stream.direction = word(value.lowerBound) & 3 == 1 ? .toClient : .toServer
    }
    guard code == CaptureFormat.Option.comment else { return }
    let text = String(decoding: bytes[value], as: UTF8.self)
    if let note = CaptureFormat.descriptor(in: text) { message.descriptors.append(note) }
    if text.hasPrefix("no message: ") {
      message.defect = StreamDefect(rawValue: String(text.dropFirst("no message: ".count)))
    }
  }

  /// Appends what did not fit into the packet.
  private func extend(_ message: inout TracedMessage?, _ body: Range<Int>) {
    guard body.count >= 4 else { return }
    let count = Int(word(body.lowerBound))
    guard count <= body.count - 4 else { return }
    message?.bytes += bytes[body.lowerBound + 4..<body.lowerBound + 4 + count]
  }

  /// Calls `body` for each option with its place.
  private func options(
    from start: Int, to end: Int, _ body: (UInt16, Range<Int>) -> Void
  ) {
    var place = start
    while end - place >= 4 {
      let code = half(place)
      let length = Int(half(place + 2))
      guard code != CaptureFormat.Option.end, length <= end - place - 4 else { return }
      body(code, place + 4..<place + 4 + length)
      place += 4 + CaptureFormat.padded(length)
    }
  }

  private func nanoseconds(_ time: UInt64, _ resolution: UInt8) -> UInt64 {
    guard resolution < 9 else { return time }
    let factor = (resolution..<9).reduce(UInt64(1)) { value, _ in value * 10 }
    return time.multipliedReportingOverflow(by: factor).partialValue
  }

  private func word(_ offset: Int) -> UInt32 { bytes.span.littleEndian(at: offset) }
  private func half(_ offset: Int) -> UInt16 { bytes.span.littleEndian(at: offset) }
}

/// Why a capture cannot be read, or not to its end.
package enum CaptureDefect: Error, Equatable, Sendable {
  case noCapture
  case bigEndian
  /// The file ends inside of the block at this offset.
  case cut(at: Int)
  /// The block at this offset makes no sense.
  case broken(at: Int)
}

extension CaptureDefect: CustomStringConvertible {
  package var description: String {
    switch self {
    case .noCapture: "this is no pcapng file. Record one with: vfio-user trace --write FILE.pcapng"
    case .bigEndian: "this file comes from a machine with another byte order"
    case .cut(let place): "the file is cut: it ends inside of the block at offset \(place)"
    case .broken(let place): "the block at offset \(place) is broken; what follows cannot be read"
    }
  }
}
