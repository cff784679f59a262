/// Messages that were not sent, or not to their end, for a process that continues with the socket.
package struct OutgoingRecord: Codable, Equatable, Sendable {
  /// The bytes of one send.
  package struct Send: Codable, Equatable, Sendable {
    package var bytes: [UInt8]
    /// Numbers of descriptors that stay open and belong to the outbox.
    package var descriptors: [Int32]
  }

  package var sends: [Send] = []

  package init() {}
}

/// The state of a sender, for a process that continues with the socket.
package struct SenderRecord: Codable, Equatable, Sendable {
  /// The unsent rest of a request.
  package var remainder: [UInt8] = []
  /// Whether the first send of the outbox is the rest of a message.
  package var isReplyCut = false

  package init() {}
}

extension Outbox {
  /// What is not sent.
  package var record: OutgoingRecord {
    var record = OutgoingRecord()
    var first = 0
    for send in closed[nextClosed...] {
      let numbers = Array(descriptors[first..<first + send.descriptors])
      unsafe record.sends.append(.init(bytes: Array(storage[send.unsent]), descriptors: numbers))
      first += send.descriptors
    }
    if !open.isEmpty {
      unsafe record.sends.append(.init(bytes: Array(storage[open]), descriptors: []))
    }
    return record
  }

  /// Continues with what another process has not sent; takes ownership of the descriptors.
  ///
  /// Without memory for it the next ``send(to:)`` throws.
  ///
  /// - Precondition: the outbox is empty.
  package mutating func resume(_ record: OutgoingRecord) {
    precondition(isEmpty, "an outbox that is in use")
    descriptors = record.sends.flatMap(\.descriptors)
    for send in record.sends {
      guard makeRoom(send.bytes.count) else { return }
      let place = end..<end + send.bytes.count
      unsafe UnsafeMutableRawBufferPointer(rebasing: storage[place]).copyBytes(from: send.bytes)
      end = place.upperBound
      closed.append(Send(unsent: place, descriptors: send.descriptors.count))
    }
  }
}
