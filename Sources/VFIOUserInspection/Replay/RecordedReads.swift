internal import VFIOUserProtocol

/// What the recorded client has answered to DMA_READ.
///
/// A device asks the same places again in the same order, but not at the same moments: so each address
/// and size has answers of its own, which are given one after the other.
struct RecordedReads {
  private struct Place: Hashable { let address: UInt64, count: UInt64 }

  private var answers: [Place: [Int]] = [:]
  private let messages: [TracedMessage]

  init(_ messages: [TracedMessage]) {
    self.messages = messages
    for (index, message) in messages.enumerated().reversed() {
      guard message.stream.direction == .toServer, let header = message.header,
        header.command == .dmaRead, header.flags.isReply, !header.flags.contains(.error),
        message.isWhole, let access = try? DMAAccess(decoding: message.payload.span),
        (try? access.requireData(in: message.payload.span)) != nil
      else { continue }
      answers[Place(address: access.address, count: access.count), default: []].append(index)
    }
  }

  /// The next answer; nil if there is none, or no more.
  mutating func next(_ access: DMAAccess) -> [UInt8]? {
    let place = Place(address: access.address, count: access.count)
    guard let index = answers[place]?.popLast() else { return nil }
    return Array(messages[index].payload.dropFirst(DMAAccess.wireSize))
  }
}

extension DMAAccess {
  /// Throws unless as much data as it says follows.
  fileprivate func requireData(in payload: Span<UInt8>) throws(WireError) {
    _ = try data(in: payload)
  }
}
