import CLinux
import LinuxPrimitives
import SystemPackage
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A connection for measurements: one thread that sends messages which were made before, and receives their replies.
///
/// A client does more: it serves several threads, and requests of the device. What is measured here is the device.
final class BenchWire {
  private static let patience: Duration = .seconds(5)

  private let socket: MessageSocket
  private var assembler = FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 16)
  /// What the server said of itself.
  private(set) var capabilities = Capabilities()

  /// Connects and negotiates.
  init(_ path: String) throws(ClientError) {
    do throws(SystemCallError) {
      socket = try MessageSocket(connectingTo: FilePath(path), timeout: Self.patience)
    } catch {
      throw .system(error)
    }
    _ = socket.withDescriptor {
      clinux_set_receive_timeout($0, Int64(clamping: Deadline.nanoseconds(Self.patience)))
    }
    var proposal = Capabilities()
    proposal.maxMessageDescriptors = 16
    proposal.maxDataTransfer = Limits.defaultDataTransfer
    let version = VersionMessage(major: 0, minor: 1, capabilities: proposal)
    let answer = try reply(.version, version)
    do throws(WireError) {
      capabilities = try VersionMessage(decoding: answer.span).capabilities
    } catch {
      throw .negotiationFailed("the server's answer is malformed: \(error)")
    }
  }

  /// The process that listens there.
  var peer: PeerCredentials? { PeerCredentials(of: socket.descriptor) }

  deinit { socket.shutdown() }

  /// Sends messages at once and waits for the replies.
  ///
  /// - Parameters:
  ///   - messages: whole messages, one behind the other.
  ///   - command: of those that have a reply.
  ///   - replies: how many these are.
  ///   - descriptors: go with the first byte.
  ///   - last: gets the payload of the last reply; a copy, so not for what is measured.
  func exchange(
    _ messages: [UInt8], _ command: Command, replies: Int = 1, descriptors: [Int32] = [],
    last: (([UInt8]) -> Void)? = nil
  ) throws(ClientError) {
    do throws(StreamError) {
      try send(messages, descriptors)
      try receive(replies, command, last)
    } catch {
      throw .disconnected(error)
    }
    if let (command, number) = refusal {
      refusal = nil
      throw .refused(command, Errno(rawValue: Int32(clamping: number)))
    }
  }

  private func receive(
    _ replies: Int, _ command: Command, _ last: (([UInt8]) -> Void)?
  ) throws(StreamError) {
    let end = Deadline.after(Self.patience).instant
    var got = 0
    while got < replies {
      guard let frame = try assembler.next() else {
        // Nothing may have come because a signal has interrupted the wait.
        _ = try socket.receive(into: &assembler, wait: true)
        guard clinux_now() < end else { throw .deadlinePassed(during: .receiving) }
        continue
      }
      // A request of the device, or a reply to a command that asked for none, as some servers send it.
      guard frame.header.flags.isReply, frame.header.command == command else {
        guard clinux_now() < end else { throw .deadlinePassed(during: .receiving) }
        continue
      }
      got += 1
      if frame.header.flags.contains(.error) {
        refusal = (command, frame.header.error)
      } else if got == replies, let last {
        last(Self.copy(assembler.payload(of: frame)))
      }
    }
  }

  /// Asks one thing.
  ///
  /// - Returns: the payload of the reply.
  func reply(_ command: Command, _ payload: some WireEncodable) throws(ClientError) -> [UInt8] {
    var answer: [UInt8] = []
    try exchange(Self.message(command, payload), command) { answer = $0 }
    return answer
  }

  /// The first error reply of an exchange; it is thrown when all replies are there, so that none is left over.
  private var refusal: (Command, UInt32)?

  private func send(_ messages: [UInt8], _ descriptors: [Int32]) throws(StreamError) {
    var done = 0
    while done < messages.count {
      // Sound: the span is valid for the length of the call.
      let sent = try unsafe messages.span.extracting(done...).withUnsafeBytes {
        (rest) throws(StreamError) in
        unsafe try socket.trySend(rest, descriptors: done == 0 ? descriptors : [])
      }
      done += sent ?? 0
      guard sent ?? 0 == 0 else { continue }
      guard try !socket.wait(for: .writable, before: .after(Self.patience)).isEmpty else {
        throw .deadlinePassed(during: .sending)
      }
    }
  }

  private static func copy(_ bytes: Span<UInt8>) -> [UInt8] { bytes.indices.map { bytes[$0] } }

  /// A whole message.
  static func message(
    _ command: Command, flags: MessageFlags = [], _ payload: some WireEncodable,
    _ data: [UInt8] = []
  ) -> [UInt8] {
    let fixed = Header.wireSize + payload.wireSize
    let header = Header(
      id: 1, command: command, size: UInt32(fixed + data.count), flags: flags)
    return bytes(Header.wireSize) { header.encode(into: &$0) }
      + bytes(payload.wireSize) { payload.encode(into: &$0) } + data
  }

  private static func bytes(_ count: Int, _ encode: (inout MutableRawSpan) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    // Sound: every pattern of bits is a byte.
    var raw = unsafe span.mutableBytes
    encode(&raw)
    return bytes
  }
}
