internal import LinuxPrimitives
internal import Synchronization
internal import VFIOUserProtocol
internal import VFIOUserTransport

// All of it runs on the session's thread.

extension Session {
  /// Serves nothing until the halt is over; when that is, the session goes on as if nothing had been.
  mutating func rest() throws(StreamError) {
    let halt = dispatcher.halt
    let number = halt.present.number
    let socket = receiver.socket
    socket.isInterrupted = false
    // What waits for a reply that the client does not read may begin, else the device would not come to rest.
    dispatcher.core.worker.release()
    if let reason = reasonAgainstHandover {
      halt.refuse(reason, in: number)
    } else {
      halt.rest(in: number)
    }
    while halt.present == (number, .wanted) || halt.present == (number, .resting) {
      try receiveReplies()
    }
    guard halt.present == (number, .recording) else { return }
    do throws(HandoverError) {
      halt.record(try record(), in: number)
    } catch {
      halt.refuse(error, in: number)
    }
    halt.waitForEnd(of: number)
    channel?.endHalt()
  }

  /// Nil for a session that can be handed over.
  private var reasonAgainstHandover: HandoverError? {
    if dispatcher.migration?.isAtRest == false || dispatcher.logging.isOn {
      return HandoverError("a migration of the device is under way")
    }
    return nil
  }

  /// Delivers replies and parks commands; waits for more, or for the coordinator.
  private mutating func receiveReplies() throws(StreamError) {
    while channel != nil, !parked.isFull, var frame = try receiver.nextInHand() {
      if frame.header.flags.isReply {
        receive(reply: frame)
      } else {
        parked.append(Self.park(&frame, of: receiver.assembler))
      }
    }
    if !outbox.isEmpty { _ = try sender.send(&outbox) }
    let isReading = channel != nil && !parked.isFull
    var wanted: Readiness = isReading ? .readable : []
    if !outbox.isEmpty, !outbox.lacksReferences { wanted.insert(.writable) }
    let happened = try receiver.socket.wait(
      for: wanted, or: dispatcher.quiet, before: .after(.milliseconds(10)))
    _ = dispatcher.quiet.take()
    if happened.contains(.readable) {
      let socket = receiver.socket
      _ = try socket.receive(into: &receiver.assembler, wait: false)
    } else if happened.contains(.hangUp) {
      throw .closedByPeer
    }
  }

  /// What another process needs to continue.
  ///
  /// - Precondition: the device is suspended.
  private mutating func record() throws(HandoverError) -> SessionRecord {
    concludePending()
    let due = channel == nil ? messageDeadline : receiver.messageDue()
    return SessionRecord(
      socket: receiver.socket.descriptor.number,
      channel: try channel?.halt(before: .after(.seconds(1))),
      received: receiver.assembler.record, messageTime: due?.remaining, outgoing: outbox.record,
      sender: sender.record, sendTime: sendDeadline?.remaining, parked: parked.records,
      descriptorLimit: dispatcher.clientDescriptorLimit.load(ordering: .relaxed),
      hasNotedUnsharedMemory: dispatcher.hasNotedUnsharedMemory.load(ordering: .relaxed))
  }

  /// Answers the pending command, or puts it in front of the parked ones as if it had just come.
  private mutating func concludePending() {
    guard let waiting = pending, let rest = dispatcher.finish(waiting, into: &outbox) else {
      pending = nil
      return
    }
    if case .unmap(let request, let bitmap, let removal) = rest.work {
      dispatcher.core.memory.cancel(removal)
      var descriptors = DescriptorList()
      let payload = request.encoded() + (bitmap?.encoded() ?? [])
      parked.prepend(ParkedMessage(rest.header, payload.span, &descriptors, surplus: false))
    }
    pending = nil
  }

  /// Continues with a connection of another process.
  init(
    resuming record: SessionRecord, _ dispatcher: CommandDispatcher, from peer: PeerDescriptors
  ) throws(HandoverError) {
    let socket = MessageSocket(adopting: OwnedDescriptor(adopting: record.socket), peer: peer)
    self.init(socket, dispatcher, hasThread: true, resuming: record.sender)
    if let channel = record.channel {
      self.channel = DMAChannel(resuming: channel, sender, from: peer, dispatcher.options)
      receiver.assembler.messageLimit = dispatcher.options.messageLimit
    }
    try HandoverError.wrapping("what the client has sent cannot be taken over") {
      try receiver.assembler.resume(record.received, from: peer)
    }
    for one in record.parked { parked.append(try ParkedMessage(one, from: peer)) }
    outbox.resume(record.outgoing)
    let messageDeadline = record.messageTime.map(Deadline.init(remaining:))
    if self.channel == nil {
      self.messageDeadline = messageDeadline ?? self.messageDeadline
    } else {
      self.messageDeadline = .never
      receiver.resume(messageDeadline)
    }
    if !outbox.isEmpty {
      sendDeadline =
        record.sendTime.map(Deadline.init(remaining:)) ?? .after(receiver.messageTimeout)
    }
    dispatcher.clientDescriptorLimit.store(record.descriptorLimit, ordering: .relaxed)
    dispatcher.hasNotedUnsharedMemory.store(record.hasNotedUnsharedMemory, ordering: .relaxed)
  }
}

extension Deadline {
  /// From what ``remaining`` has said.
  fileprivate init(remaining: Int64) {
    self = remaining < 0 ? .never : .after(nanoseconds: UInt64(remaining))
  }
}
