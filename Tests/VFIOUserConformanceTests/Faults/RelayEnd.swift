import CLinux
import LinuxPrimitives
import SystemPackage
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

/// One side of a relayed connection: takes messages out of the stream.
final class RelayEnd {
  let socket: MessageSocket
  private(set) var buffer: [UInt8] = []
  private var descriptors: [HeldDescriptor] = []
  private var outgoing: [UInt8] = []

  init(_ socket: MessageSocket) { self.socket = socket }

  /// Receives what there is.
  ///
  /// - Returns: false at the end of the stream.
  func pull() -> Bool {
    var bytes = [UInt8](repeating: 0, count: 256 << 10)
    var numbers = [Int32](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
    let result = unsafe bytes.withUnsafeMutableBytes { room in
      var slice = unsafe clinux_slice(base: room.baseAddress, length: room.count)
      return socket.withDescriptor { unsafe clinux_receive($0, &slice, 1, &numbers, 0) }
    }
    for number in numbers.prefix(Int(max(0, result.descriptors))) {
      descriptors.append(HeldDescriptor(OwnedDescriptor(adopting: number)))
    }
    guard result.count > 0 else {
      return result.count == -Int(Errno.resourceTemporarilyUnavailable.rawValue)
    }
    buffer += bytes.prefix(result.count)
    return true
  }

  enum Next {
    case message(Passing)
    case incomplete
    case malformed(Header)
  }

  /// The next message in the buffer.
  func next() -> Next {
    guard let header = try? Header(decoding: buffer.span) else { return .incomplete }
    guard header.size >= Header.wireSize, header.size <= 16 << 20 else {
      return .malformed(header)
    }
    guard buffer.count >= Int(header.size) else { return .incomplete }
    defer {
      buffer.removeFirst(Int(header.size))
      descriptors = []
    }
    return .message(
      Passing(
        header: header, payload: Array(buffer[16..<Int(header.size)]), descriptors: descriptors))
  }

  /// What is left in the buffer, as it came.
  func drain() -> [UInt8] {
    defer { buffer = [] }
    return buffer
  }

  /// Takes bytes to be sent; a message with descriptors is sent at once.
  ///
  /// Many small messages are sent as one piece: each of its own would fill the socket's queue, and then neither side
  /// could go on.
  func send(_ bytes: [UInt8], _ descriptors: [HeldDescriptor] = []) {
    if !descriptors.isEmpty { flush() }
    outgoing += bytes
    if !descriptors.isEmpty { flush(descriptors) }
  }

  /// Sends what was taken.
  func flush(_ descriptors: [HeldDescriptor] = []) {
    guard !outgoing.isEmpty else { return }
    _ = Wire(socket).send(outgoing, descriptors, before: .after(.seconds(5)))
    outgoing = []
  }
}
