internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The message infrastructure: commands out, replies in, matched by id.
final class Connection: Sendable {
  private struct State: ~Copyable {
    var receiver: FrameReceiver
    var outbox = Outbox()
    var nextID: UInt16 = 0
    var failure: StreamFailure?
  }

  let socket: MessageSocket
  private let state: Monitor<State>
  private let timeout: Duration

  init(_ socket: MessageSocket, timeout: Duration) {
    self.socket = socket
    self.timeout = timeout
    let assembler = FrameAssembler(
      messageLimit: Limits.messageBeforeNegotiation,
      descriptorLimit: Limits.kernelMessageDescriptors)
    state = Monitor(
      State(
        receiver: FrameReceiver(socket: socket, assembler: assembler, messageTimeout: timeout)))
  }

  /// Raises the limit of what is received, once both sides agreed.
  func setMessageLimit(_ limit: Int) {
    state.withLock { $0.receiver.assembler.messageLimit = limit }
  }

  /// Sends a command and waits for its reply.
  ///
  /// - Parameters:
  ///   - size: bytes of the payload that `fill` writes.
  ///   - read: gets the payload of the reply and what came with it.
  func call<Result>(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList,
    fill: (inout MutableRawSpan) -> Void,
    read: (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    var carried: DescriptorList? = consume descriptors
    return try state.withLock { state throws(ClientError) in
      if let failure = state.failure { throw .disconnected(failure) }
      let id = state.nextID
      state.nextID &+= 1
      let header = Header(id: id, command: command, size: 0, flags: [])
      state.outbox.append(
        header, payload: size, descriptors: carried.take() ?? DescriptorList(), fill: fill)
      do {
        var frame = try exchange(&state, id, .after(timeout))
        if frame.header.flags.contains(.error) {
          throw ClientError.refused(command, Errno(peer: frame.header.error))
        }
        return try read(state.receiver.assembler.payload(of: frame), &frame.descriptors)
      } catch let failure as StreamFailure {
        state.failure = failure
        throw .disconnected(failure)
      } catch let error as ClientError {
        throw error
      } catch {
        throw .timedOut(command)
      }
    }
  }

  private func exchange(
    _ state: inout State, _ id: UInt16, _ deadline: Deadline
  ) throws(StreamFailure) -> Frame {
    while try !state.outbox.send(to: socket) {
      try state.receiver.waitUntilWritable(before: deadline)
    }
    while true {
      let frame = try state.receiver.next(before: deadline, during: .receiving)
      if frame.header.flags.isReply, frame.header.id == id { return frame }
      guard !frame.header.flags.isReply, !frame.header.flags.contains(.noReply) else { continue }
      state.outbox.append(frame.header.errorReply(errno: UInt32(Errno.noFunction.rawValue)))
      _ = try state.outbox.send(to: socket)
    }
  }
}

extension Errno {
  /// What a peer wrote into an error reply; it may leave the number out.
  init(peer number: UInt32) {
    self.init(rawValue: number == 0 ? Errno.ioError.rawValue : CInt(clamping: number))
  }
}
