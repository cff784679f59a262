internal import CLinux
package import Foundation
internal import Glibc
internal import SystemPackage
package import VFIOUserTransport

/// The host's end of a byte stream.
///
/// Whatever it waits for, it waits with a deadline.
package final class ByteChannel {
  private let descriptor: OwnedDescriptor
  private let name: String

  /// Takes over a stream; `name` is for messages about failures.
  package init(adopting descriptor: consuming OwnedDescriptor, name: String) {
    _ = clinux_set_nonblocking(descriptor.number, 1)
    self.descriptor = descriptor
    self.name = name
  }

  /// Connects to a UNIX socket.
  package convenience init(connectingTo path: String) throws {
    let number = try checked("connect", unsafe clinux_connect(path, 1_000_000_000))
    self.init(adopting: OwnedDescriptor(adopting: number), name: path)
  }

  /// Opens a terminal, which does not become the one that controls this process.
  package convenience init(openingTerminal path: String) throws {
    let options = FileDescriptor.OpenOptions(rawValue: O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
    let file = try FileDescriptor.open(FilePath(path), .readWrite, options: options)
    self.init(adopting: OwnedDescriptor(adopting: file.rawValue), name: path)
  }

  /// A stream whose other end a program can have as its standard input and output.
  package static func pair(name: String) throws -> (ByteChannel, FileHandle) {
    var ends: [Int32] = [-1, -1]
    _ = try checked("socketpair", unsafe clinux_socket_pair(&ends))
    let channel = ByteChannel(adopting: OwnedDescriptor(adopting: ends[0]), name: name)
    return (channel, FileHandle(fileDescriptor: ends[1], closeOnDealloc: true))
  }

  /// Sends and receives at the same time, until both are done.
  package func exchange(
    sending bytes: [UInt8] = [], receiving count: Int = 0, within timeout: Duration = .seconds(120)
  ) throws -> [UInt8] {
    let deadline = Deadline.after(timeout)
    var received: [UInt8] = []
    var sent = 0
    while sent < bytes.count || received.count < count {
      let wanted =
        (sent < bytes.count ? CLINUX_WRITABLE : 0)
        | (received.count < count ? CLINUX_READABLE : 0)
      guard try wait(for: wanted, before: deadline),
        let more = try take(atMost: count - received.count)
      else {
        throw HarnessError(
          """
          \(name): deadline of \(timeout) or end of stream; sent \(sent) of \(bytes.count) bytes, \
          received \(received.count) of \(count)
          """)
      }
      received += more
      sent += try put(bytes[sent...])
    }
    return received
  }

  package func send(_ bytes: [UInt8]) throws { _ = try exchange(sending: bytes) }

  package func receive(_ count: Int) throws -> [UInt8] { try exchange(receiving: count) }

  /// Receives until the stream has brought what ends like `ending`.
  package func receive(through ending: [UInt8], within timeout: Duration = .seconds(120)) throws {
    let deadline = Deadline.after(timeout)
    var received: [UInt8] = []
    while received.suffix(ending.count) != ending[...] {
      guard let more = try receiveSome(before: deadline) else {
        throw HarnessError("\(name): \(received.count) bytes, and what was awaited is not there")
      }
      // Byte by byte, so that the ending is not overlooked in the middle of what has come.
      for byte in more where received.suffix(ending.count) != ending[...] { received.append(byte) }
    }
  }

  /// Receives what comes next, nil when the deadline or the end of the stream comes first.
  package func receiveSome(before deadline: Deadline) throws -> [UInt8]? {
    while try wait(for: CLINUX_READABLE, before: deadline) {
      guard let bytes = try take(atMost: 4096) else { return nil }
      if !bytes.isEmpty { return bytes }
    }
    return nil
  }

  /// Sends until the stream has taken nothing for a while.
  ///
  /// - Returns: how much it has taken.
  package func sendUntilBlocked(_ bytes: [UInt8], for quiet: Duration = .milliseconds(500)) throws
    -> Int
  {
    var sent = 0
    while sent < bytes.count, try wait(for: CLINUX_WRITABLE, before: .after(quiet)) {
      sent += try put(bytes[sent...])
    }
    return sent
  }

  /// Waits until the stream is ready, or at its end.
  private func wait(for wanted: Int32, before deadline: Deadline) throws -> Bool {
    var interest = clinux_interest(
      descriptor: descriptor.number, wanted: Int16(wanted), happened: 0)
    while interest.happened == 0 {
      guard !deadline.hasPassed else { return false }
      _ = try checked("ppoll", unsafe clinux_poll(&interest, 1, deadline.remaining))
    }
    return true
  }

  /// Nil at the end of the stream.
  private func take(atMost count: Int) throws -> [UInt8]? {
    guard count > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: min(count, 4096))
    // Sound: no more is read than the array holds.
    let got = unsafe clinux_stream_read(
      descriptor.number, CLINUX_STREAM_NONBLOCKING, &bytes, bytes.count)
    guard got != 0 else { return nil }
    return Array(bytes.prefix(try unlessBlocked("read", got)))
  }

  private func put(_ bytes: ArraySlice<UInt8>) throws -> Int {
    guard !bytes.isEmpty else { return 0 }
    // Sound: pointer and length are those of the slice, which outlives the call.
    let put = unsafe bytes.withUnsafeBytes {
      unsafe clinux_stream_write(
        descriptor.number, CLINUX_STREAM_NONBLOCKING, $0.baseAddress, $0.count)
    }
    return try unlessBlocked("write", put)
  }

  private func unlessBlocked(_ call: String, _ result: Int) throws -> Int {
    if result == -Int(EAGAIN) { return 0 }
    return try checked("\(call) \(name)", result)
  }
}
