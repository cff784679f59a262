internal import CLinux
internal import Glibc
package import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol
package import VFIOUserTransport

/// One end of a connection that sends whatever it is told and takes whatever comes, with a deadline for both.
///
/// It reads a header and then exactly what belongs to it, so that descriptors are those of this message.
package final class Wire {
  private let socket: MessageSocket
  private var partial: [UInt8] = []
  private var descriptors: [HeldDescriptor] = []

  /// The largest message that is accepted.
  static let limit = 128 << 20
  /// Memory is taken for what arrives, not for what a header promises.
  private static let piece = 256 << 10

  package init(_ socket: MessageSocket) { self.socket = socket }

  /// What became of bytes that were to be sent.
  package enum Sending: Sendable, Equatable {
    case sent
    /// The peer has closed the connection.
    case ended
    /// The peer did not read until the deadline; `count` bytes were sent.
    case stuck(count: Int)
  }

  /// Sends bytes, and descriptors with the first of them.
  package func send(
    _ bytes: [UInt8], _ descriptors: [HeldDescriptor] = [], before deadline: Deadline
  ) -> Sending {
    var done = 0
    while done < bytes.count {
      guard let sent = push(bytes, from: done, descriptors) else { return .ended }
      done += sent
      guard sent == 0 else { continue }
      guard !deadline.hasPassed else { return .stuck(count: done) }
      // Slices, because a shortage of descriptors in flight is reported by no event.
      _ = try? socket.wait(for: .writable, before: min(deadline, .after(.milliseconds(50))))
    }
    return .sent
  }

  /// Sends what fits without waiting.
  ///
  /// - Returns: how many bytes; nil when the peer has closed the connection.
  package func push(
    _ bytes: [UInt8], from start: Int, _ descriptors: [HeldDescriptor] = []
  ) -> Int? {
    let numbers = start == 0 ? descriptors.map { $0.owned.number } : []
    do throws(StreamError) {
      // Sound: the buffer is only read during the call. The descriptors are open as long as their holders.
      return try unsafe bytes.span.extracting(start...).withUnsafeBytes {
        (buffer) throws(StreamError) -> Int in
        guard numbers.isEmpty else {
          return unsafe try socket.trySend(buffer, descriptors: numbers) ?? 0
        }
        return unsafe try socket.trySend(buffer)
      }
    } catch {
      return nil
    }
  }

  /// Whether something can be read now.
  package var isReadable: Bool { socket.isReadable }

  /// Waits for the next message.
  package func next(before deadline: Deadline) -> Arrival {
    while true {
      if partial.count < Header.wireSize {
        if let end = fill(to: Header.wireSize, before: deadline) { return end }
        continue
      }
      guard let header = try? Header(decoding: partial.span) else { return .malformed("no header") }
      guard header.size >= Header.wireSize, header.size <= Self.limit else {
        return .malformed("a message of \(header.size) bytes")
      }
      if partial.count < Int(header.size) {
        if let end = fill(to: Int(header.size), before: deadline) { return end }
        continue
      }
      defer {
        partial = []
        descriptors = []
      }
      return .message(
        Message(
          header: header, payload: Array(partial.dropFirst(Header.wireSize)),
          descriptors: descriptors))
    }
  }

  /// Receives once.
  ///
  /// - Returns: why there is nothing more; nil if there may be.
  private func fill(to count: Int, before deadline: Deadline) -> Arrival? {
    let room = min(count - partial.count, Self.piece)
    let ready = (try? socket.wait(for: .readable, before: deadline)) ?? .hangUp
    guard !ready.isEmpty else {
      return deadline.hasPassed ? .silence(unfinished: partial.count) : nil
    }
    var bytes = [UInt8](repeating: 0, count: room)
    var numbers = [Int32](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
    // Sound: both arrays live until the call returns, and their sizes are given.
    let result = unsafe bytes.withUnsafeMutableBytes { buffer in
      var slice = unsafe clinux_slice(base: buffer.baseAddress, length: room)
      return socket.withDescriptor { unsafe clinux_receive($0, &slice, 1, &numbers, 0) }
    }
    for number in numbers.prefix(Int(max(0, result.descriptors))) {
      descriptors.append(HeldDescriptor(OwnedDescriptor(adopting: number)))
    }
    guard result.count != -Int(Errno.interrupted.rawValue),
      result.count != -Int(Errno.resourceTemporarilyUnavailable.rawValue)
    else { return nil }
    guard result.count > 0 else { return .ended(unfinished: partial.count) }
    partial += bytes.prefix(result.count)
    return nil
  }

  /// Ends the connection.
  package func close() { socket.shutdown() }

  /// Says that nothing more will be sent; replies still arrive.
  package func finishSending() {
    socket.withDescriptor { _ = shutdown($0, Int32(SHUT_WR)) }
  }
}
