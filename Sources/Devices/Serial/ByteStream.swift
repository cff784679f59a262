internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// One end of a byte stream, used without ever blocking.
final class ByteStream: Sendable {
  let descriptor: OwnedDescriptor
  private let manner: Int32

  /// The result of a read or write.
  enum Outcome {
    /// The number of bytes transferred.
    case moved(Int)
    /// The call would have blocked.
    case blocked
    /// No more bytes can be transferred: the other side has closed the stream, or it has failed.
    case ended
  }

  private init(_ descriptor: consuming OwnedDescriptor, manner: Int32) {
    self.descriptor = descriptor
    self.manner = manner
  }

  /// Takes ownership of a connected socket.
  static func socket(_ descriptor: consuming OwnedDescriptor) -> ByteStream {
    ByteStream(descriptor, manner: CLINUX_STREAM_SOCKET)
  }

  /// Takes ownership of a descriptor whose open file description is not shared and has
  /// `O_NONBLOCK`.
  static func nonBlocking(_ descriptor: consuming OwnedDescriptor) -> ByteStream {
    ByteStream(descriptor, manner: CLINUX_STREAM_NONBLOCKING)
  }

  /// Opens a second descriptor for a stream of unknown kind.
  static func shared(_ number: Int32) throws(SystemCallError) -> ByteStream {
    var manner: Int32 = 0
    let own = try checked("open", unsafe clinux_stream_open(number, &manner))
    return ByteStream(OwnedDescriptor(adopting: own), manner: manner)
  }

  /// Reads up to `count` bytes; a shared stream must have been polled as readable.
  func read(into bytes: inout [UInt8], atMost count: Int) -> Outcome {
    let count = min(count, bytes.count)
    // Sound: no more is read than fits into the array.
    let got = unsafe bytes.withUnsafeMutableBytes {
      unsafe clinux_stream_read(descriptor.number, manner, $0.baseAddress, count)
    }
    return got == 0 ? .ended : outcome(got)
  }

  /// Writes the oldest bytes of the queue and removes those written.
  func write(from queue: inout ByteQueue) -> Outcome {
    // Sound: pointer and length are those of the queue's bytes, which stay valid during the call.
    let put = unsafe queue.withFront {
      unsafe clinux_stream_write(descriptor.number, manner, $0.baseAddress, $0.count)
    }
    if put > 0 { queue.removeFirst(put) }
    return outcome(put)
  }

  private func outcome(_ result: Int) -> Outcome {
    if result >= 0 { return .moved(result) }
    return result == -Int(Errno.resourceTemporarilyUnavailable.rawValue) ? .blocked : .ended
  }
}
