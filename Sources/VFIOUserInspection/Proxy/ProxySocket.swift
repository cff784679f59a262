internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserTransport

/// A socket of a proxy: bytes and descriptors as they come, without looking at messages.
final class ProxySocket: Sendable {
  /// Owns the socket; its end closes it where that blocks nobody.
  let socket: MessageSocket

  init(_ socket: MessageSocket) { self.socket = socket }

  private var number: Int32 { socket.descriptor.number }

  /// What one receive has brought.
  struct Received {
    var count = 0
    var descriptors: [Int32] = []
    /// Whether the kernel has dropped descriptors, because this process may open no more.
    var isTruncated = false
  }

  /// Receives into `room`.
  ///
  /// - Parameter wait: whether to block until something arrives.
  /// - Returns: nil if there is nothing yet; a count of 0 at the end of the stream.
  /// - Throws: an error of the connection.
  func receive(
    into room: UnsafeMutableRawBufferPointer, wait: Bool
  ) throws(SystemCallError) -> Received? {
    while true {
      var slice = unsafe clinux_slice(base: room.baseAddress, length: room.count)
      // Sound: the buffer has room for as many numbers as the C function stores.
      let (result, numbers) = unsafe withUnsafeTemporaryAllocation(
        of: Int32.self, capacity: Int(CLINUX_MAX_DESCRIPTORS)
      ) { buffer in
        let result = unsafe clinux_receive(number, &slice, 1, buffer.baseAddress, wait ? 1 : 0)
        let numbers = (0..<Int(max(0, result.descriptors))).map { unsafe buffer[$0] }
        return (result, numbers)
      }
      if result.count >= 0 {
        return Received(
          count: result.count, descriptors: numbers, isTruncated: result.truncated != 0)
      }
      switch Errno(rawValue: CInt(truncatingIfNeeded: -result.count)) {
      case .interrupted: continue
      case .resourceTemporarilyUnavailable:
        guard wait else { return nil }
        try waitUntil(.readable)
      case .connectionReset, .brokenPipe: return Received()
      case let code: throw SystemCallError(call: "recvmsg", code: code)
      }
    }
  }

  /// Sends all bytes, waiting as long as the receiver takes none; descriptors go with the first.
  ///
  /// - Returns: whether the receiver is still there.
  func send(_ bytes: UnsafeRawBufferPointer, _ descriptors: [Int32]) throws(SystemCallError) -> Bool
  {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      var slice = unsafe clinux_slice(
        base: UnsafeMutableRawPointer(mutating: rest.baseAddress), length: rest.count)
      let count = done == 0 ? Int32(descriptors.count) : 0
      let sent = unsafe clinux_send(number, &slice, 1, descriptors, count, 1)
      if sent >= 0 {
        done += sent
        continue
      }
      switch Errno(rawValue: CInt(truncatingIfNeeded: -sent)) {
      case .resourceTemporarilyUnavailable: try waitUntil(.writable)
      case .brokenPipe, .connectionReset: return false
      case .tooManyReferences:
        // The user's limit of descriptors in flight; no event tells when it has cleared.
        if socket.peerHasHungUp { return false }
        _ = clinux_poll(nil, 0, 1_000_000)
      case let code: throw SystemCallError(call: "sendmsg", code: code)
      }
    }
    return true
  }

  /// A peer may have set O_NONBLOCK on a socket that it has passed.
  private func waitUntil(_ readiness: Readiness) throws(SystemCallError) {
    var interest = clinux_interest(descriptor: number, wanted: readiness.rawValue, happened: 0)
    _ = try checked("ppoll", unsafe clinux_poll(&interest, 1, 1_000_000_000))
  }

  /// Whether the peer has closed its end, rather than one direction.
  var hasHungUp: Bool { socket.peerHasHungUp }

  /// Nothing more arrives than what has arrived.
  func stopReceiving() { _ = clinux_shutdown_receiving(number) }

  /// The peer sees the end of the stream behind what was sent.
  func stopSending() { _ = clinux_shutdown_sending(number) }

  /// Both.
  func shutdown() { socket.shutdown() }
}
