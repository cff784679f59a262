internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives

/// A connection to a control socket, at either end; one thread at a time receives, any may send.
final class ControlConnection: Sendable {
  /// What came of waiting for a line.
  enum Line {
    case complete([UInt8])
    case tooLong
    /// The other end has closed, or is gone.
    case closed
    case timedOut
  }

  /// The descriptor number, which is owned, to be handed over.
  let number: Int32
  /// Who is at the other end; nil if the system does not say.
  let peer: PeerCredentials?
  /// Bytes that were received after the last line.
  private let rest = Monitor<[UInt8]>([])
  /// The descriptor that came last, which nobody has taken yet; -1 for none.
  private let received = Monitor<Int32>(-1)
  /// Held while a line is sent: the answer to `upgrade` comes from another thread.
  private let sending = Monitor(())

  init(_ descriptor: consuming OwnedDescriptor) {
    peer = PeerCredentials(of: descriptor)
    number = descriptor.release()
  }

  // The peer, which may be any user, can have put descriptors into the queue.
  deinit {
    keep(-1)
    _ = clinux_close_soon(number)
  }

  /// Takes the descriptor that came with a request; nil if there was none.
  ///
  /// It is whatever the caller has sent: look at it only when he may ask for what it is for.
  func takeFile() -> OwnedFile? {
    let number = received.withLock { exchange(&$0, with: -1) }
    return number < 0 ? nil : OwnedFile(OwnedDescriptor(adopting: number))
  }

  /// Keeps a descriptor instead of the one before.
  private func keep(_ number: Int32) {
    let before = received.withLock { exchange(&$0, with: number) }
    // Closing it may wait for whoever has sent it.
    if before >= 0 { _ = clinux_close_soon(before) }
  }

  var isOfOurUser: Bool { peer.map { $0.user == 0 || $0.user == geteuid() } ?? false }

  /// Waits for a line.
  ///
  /// - Parameters:
  ///   - limit: maximum number of bytes.
  ///   - idle: how long the line may take to begin.
  ///   - patience: how long it may take from its beginning to its end.
  func receiveLine(atMost limit: Int, idle: Duration, patience: Duration) -> Line {
    var bytes = rest.withLock { exchange(&$0, with: []) }
    var deadline = Deadline.after(bytes.isEmpty ? idle : patience)
    var searched = 0
    while true {
      if let end = bytes[searched...].firstIndex(of: 0x0A) {
        let after = Array(bytes[(end + 1)...])
        rest.withLock { $0 = after }
        return end > limit ? .tooLong : .complete(Array(bytes[..<end]))
      }
      guard bytes.count <= limit else { return .tooLong }
      searched = bytes.count
      switch receive(before: deadline) {
      case nil: return .timedOut
      case let piece? where piece.isEmpty: return .closed
      case let piece?:
        if bytes.isEmpty { deadline = .after(patience) }
        bytes += piece
      }
    }
  }

  /// - Returns: nil if the deadline has passed, nothing at the end of the stream.
  private func receive(before deadline: Deadline) -> ArraySlice<UInt8>? {
    var piece = [UInt8](repeating: 0, count: 4096)
    while !deadline.hasPassed {
      guard wait(for: CLINUX_READABLE, before: deadline) else { continue }
      let count = receive(into: &piece)
      if count == -Int(EAGAIN) || count == -Int(EINTR) { continue }
      return piece[..<max(0, count)]
    }
    return nil
  }

  private func receive(into piece: inout [UInt8]) -> Int {
    var numbers = [Int32](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
    let got = unsafe piece.withUnsafeMutableBytes { bytes in
      // Sound: the slice is that of the array, and there is room for all numbers that can come.
      var slice = unsafe clinux_slice(base: bytes.baseAddress, length: bytes.count)
      return unsafe clinux_receive(number, &slice, 1, &numbers, 0)
    }
    for number in numbers.prefix(Int(got.descriptors)) { keep(number) }
    return got.count
  }

  private func wait(for wanted: Int32, before deadline: Deadline) -> Bool {
    var interest = clinux_interest(
      descriptor: number, wanted: Int16(wanted), happened: 0)
    // Sound: the structure is lent for the call.
    return unsafe clinux_poll(&interest, 1, deadline.remaining) > 0
  }

  /// Sends a line, and a descriptor with it.
  ///
  /// - Returns: false if the other end is gone.
  @discardableResult
  func send(_ message: some Encodable, with file: borrowing OwnedDescriptor) -> Bool {
    // In front of the line, so that it is there when the line is.
    var number = file.number
    // JSON takes blanks anywhere.
    var blank = UInt8(ascii: " ")
    let sent = unsafe withUnsafeMutablePointer(to: &blank) {
      // Sound: both are lent for the call.
      var slice = unsafe clinux_slice(base: $0, length: 1)
      return unsafe clinux_send(self.number, &slice, 1, &number, 1, 1)
    }
    return sent == 1 && send(message)
  }

  /// Sends a line.
  ///
  /// - Returns: false if the other end does not take it in time, or is gone.
  @discardableResult
  func send(_ message: some Encodable, within patience: Duration = .seconds(5)) -> Bool {
    guard let data = try? JSONEncoder().encode(message) else { return false }
    return send(line: Array(data), within: patience)
  }

  /// Sends a line that is encoded already.
  func send(line: [UInt8], within patience: Duration = .seconds(5)) -> Bool {
    sending.withLock { _ in put(line + [0x0A], before: .after(patience)) }
  }

  private func put(_ line: [UInt8], before deadline: Deadline) -> Bool {
    var bytes = line[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        // Sound: address and count are those of the slice.
        unsafe Glibc.send(
          number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
      }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EAGAIN || errno == EINTR {
        guard !deadline.hasPassed else { return false }
        _ = wait(for: CLINUX_WRITABLE, before: deadline)
      } else {
        return false
      }
    }
    return true
  }
}
