internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Forwards one direction of a socket, on a thread of its own.
///
/// It sends each message with one system call where that is possible, as its sender has probably
/// done: some peers do not understand a message that comes in pieces. What has come of a message is
/// forwarded when no more of it is there. It receives no more than one message at a time, so that
/// descriptors stay with the bytes that they were sent with. It waits while the receiver takes
/// nothing, and holds at most one buffer.
@safe
final class Pump {
  /// Changes the descriptors of a message before it is forwarded: the reply to VERSION.
  typealias Interception = (_ message: Span<UInt8>, inout [OwnedDescriptorBox]) -> Void

  private let source: ProxySocket
  private let destination: ProxySocket
  private let stream: TracedStream
  private let tap: any ProxyTap
  private let peer = PeerDescriptors()
  private var interception: Interception?
  // Sound: allocated in `init`, freed in `deinit`, used by the thread of the pump only.
  private let buffer: UnsafeMutableRawBufferPointer

  /// The header of the message under way, as far as it has come.
  private var header: [UInt8] = []
  /// How much of it has not come yet, behind the header.
  private var remaining = 0
  private var isOutOfStep = false
  private var mustBeWhole = false
  /// Whether the buffer begins with the first byte of a message.
  private var startsMessage = true

  /// More than the kernel's queue of a socket usually holds.
  static let bufferSize = 512 << 10
  /// The largest reply to VERSION that is looked at.
  static let longestVersion = 64 << 10

  init(
    from source: ProxySocket, to destination: ProxySocket, _ stream: TracedStream,
    _ tap: any ProxyTap, interception: Interception? = nil
  ) {
    self.source = source
    self.destination = destination
    self.stream = stream
    self.tap = tap
    self.interception = interception
    unsafe buffer = .allocate(byteCount: Self.bufferSize, alignment: 16)
  }

  deinit { unsafe buffer.deallocate() }

  /// How a direction has ended.
  enum End: Equatable {
    /// The source has no more to send.
    case source
    /// The destination takes no more.
    case destination
    case failed(String)
  }

  /// Forwards until the end.
  func run() -> End {
    while true {
      do throws(SystemCallError) {
        if let end = try forwardNext() { return end }
      } catch {
        return .failed(error.description)
      }
    }
  }

  /// What is forwarded with one system call: the first bytes of the buffer, and descriptors.
  private struct Piece {
    var filled = 0
    var descriptors: [OwnedDescriptorBox] = []
    var instant: UInt64 = 0
  }

  /// Forwards one message, or what has come of it.
  private func forwardNext() throws(SystemCallError) -> End? {
    var piece = Piece()
    startsMessage = header.isEmpty && !isOutOfStep
    while let wanted = wanted(piece.filled) {
      let end = piece.filled + wanted
      let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[piece.filled..<end])
      let mayWait = piece.filled == 0 || mustBeWhole || isBeforeVersion
      guard let got = unsafe try source.receive(into: room, wait: mayWait) else { break }
      let more = got.descriptors.map { OwnedDescriptorBox($0, peer) }
      guard !got.isTruncated else {
        return .failed("descriptors were lost: this process may open no more (ulimit -n)")
      }
      guard !peer.isOverdrawn else { return .failed("a peer's descriptors cannot be closed") }
      guard got.count > 0 else { return try send(&piece) ? .source : .destination }
      guard try add(got.count, more, to: &piece) else { return .destination }
      if isComplete { break }
    }
    return try finish(&piece) ? nil : .destination
  }

  /// Adds what has been received.
  ///
  /// - Returns: whether the destination is still there.
  private func add(
    _ count: Int, _ descriptors: [OwnedDescriptorBox], to piece: inout Piece
  ) throws(SystemCallError) -> Bool {
    if !descriptors.isEmpty, piece.filled > 0 {
      // They belong to the bytes that have just come.
      let come = piece.filled..<piece.filled + count
      guard try send(&piece) else { return false }
      unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[come]))
      startsMessage = false
    }
    piece.instant = Deadline.now
    piece.descriptors += descriptors
    piece.filled += count
    advance(piece.filled, count)
    return true
  }

  /// Sends a message, or what has come of it.
  ///
  /// - Returns: whether the destination is still there.
  private func finish(_ piece: inout Piece) throws(SystemCallError) -> Bool {
    let isWhole = isComplete
    if isWhole {
      intercept(piece.filled, &piece.descriptors)
      header = []
    }
    return try send(&piece)
  }

  /// How many bytes to receive next; nil if the buffer is full.
  private func wanted(_ filled: Int) -> Int? {
    let room = Self.bufferSize - filled
    guard room > 0 else { return nil }
    if isOutOfStep { return room }
    return min(room, header.count < Header.wireSize ? Header.wireSize - header.count : remaining)
  }

  /// Whether the header of the reply to VERSION may be under way, which is not forwarded in pieces.
  private var isBeforeVersion: Bool {
    interception != nil && !isOutOfStep && header.count < Header.wireSize
  }

  private var isComplete: Bool {
    !isOutOfStep && header.count == Header.wireSize && remaining == 0
  }

  /// Counts bytes that have come, the last of the first `filled`.
  private func advance(_ filled: Int, _ count: Int) {
    guard !isOutOfStep else { return }
    guard header.count < Header.wireSize else {
      remaining -= count
      return
    }
    unsafe header.append(contentsOf: buffer[(filled - count)..<filled])
    guard header.count == Header.wireSize, let decoded = try? Header(decoding: header.span) else {
      return
    }
    guard FrameSplitter.isPlausible(decoded.size) else {
      isOutOfStep = true
      return
    }
    remaining = Int(decoded.size) - Header.wireSize
    mustBeWhole =
      interception != nil && decoded.command == .version && decoded.flags.isReply
      && decoded.size <= Self.longestVersion && filled == Header.wireSize
  }

  private func intercept(_ filled: Int, _ descriptors: inout [OwnedDescriptorBox]) {
    guard mustBeWhole, let interception else { return }
    mustBeWhole = false
    let bytes = unsafe [UInt8](buffer[..<filled])
    interception(bytes.span, &descriptors)
    if (try? Header(decoding: bytes.span))?.flags.contains(.error) == false {
      self.interception = nil
    }
  }

  /// Tells what is there, sends it, and closes the descriptors; the piece is empty then.
  ///
  /// It is told before it is sent: otherwise the reply could be told before its command. Telling is a
  /// copy; what the bytes mean is found out by another thread.
  ///
  /// - Returns: whether the destination is still there.
  private func send(_ piece: inout Piece) throws(SystemCallError) -> Bool {
    guard piece.filled > 0 else { return true }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<piece.filled])
    tap.passed(
      PassedBytes(
        instant: piece.instant, stream: stream, bytes: unsafe [UInt8](bytes),
        descriptors: piece.descriptors.map { DescriptorNote(of: $0.number) },
        startsMessage: startsMessage))
    defer { piece = Piece() }
    return unsafe try destination.send(bytes, piece.descriptors.map(\.number))
  }
}

/// A descriptor that is forwarded, in a list of which one may be exchanged.
final class OwnedDescriptorBox {
  private let descriptor: OwnedDescriptor
  var number: Int32 { descriptor.number }

  /// One received from a peer, closed where that blocks nobody.
  init(_ number: Int32, _ peer: PeerDescriptors) {
    descriptor = OwnedDescriptor(adopting: number, from: peer)
  }

  /// One of our own.
  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// A duplicate that lives longer.
  func duplicate() throws(SystemCallError) -> OwnedDescriptor { try descriptor.duplicate() }
}
