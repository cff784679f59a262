/// What a socket has delivered and nobody has processed, for a process that continues with the socket.
///
/// The numbers are those of descriptors that stay open and belong to the assembler.
package struct StreamRecord: Codable, Equatable, Sendable {
  /// A descriptor that was received.
  package struct Descriptor: Codable, Equatable, Sendable {
    /// Offset in ``bytes`` of the message to which it belongs.
    package var offset: Int
    /// -1 marks a surplus.
    package var number: Int32
  }

  /// From the start of a message on.
  package var bytes: [UInt8] = []
  package var descriptors: [Descriptor] = []

  package init() {}
}

extension FrameAssembler {
  /// What is buffered.
  package var record: StreamRecord {
    var record = StreamRecord()
    unsafe record.bytes = Array(storage[head..<tail])
    record.descriptors = credits.map {
      StreamRecord.Descriptor(offset: $0.message - origin - head, number: $0.number)
    }
    return record
  }

  /// Continues with what another process has received; takes ownership of the descriptors.
  ///
  /// - Precondition: nothing was received yet.
  /// - Throws: `ENOMEM`, or `closedByUs` when the record is longer than the limits allow.
  package mutating func resume(
    _ record: StreamRecord, from sender: PeerDescriptors
  ) throws(StreamError) {
    precondition(!isInsideMessage && credits.isEmpty, "an assembler that is in use")
    guard try append(record.bytes.span) else { throw .closedByUs }
    self.sender = sender
    for one in record.descriptors {
      credits.append(Credit(message: origin + head + one.offset, number: one.number))
    }
  }
}
