internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import SystemPackage

/// DMA_READ and DMA_WRITE, for memory that a client does not share; one channel per connection.
///
/// The accessing threads send requests, under the sender's lock. Replies arrive on the session's thread, or
/// on the twin socket's thread if there is one. They are matched by ID to the slots of requests in flight,
/// and their data is copied directly to its destination.
///
/// The ID of a request that timed out stays reserved, so that its late reply is discarded. The number of such
/// IDs is limited: a client that never answers is disconnected.
@safe
final class DMAChannel: Sendable {
  /// A request in flight.
  @safe
  struct Slot {
    enum Status: Equatable {
      case free, waiting
      case done(MemoryError?)
    }

    var status = Status.free
    /// The transfer that the slot belongs to.
    var ticket: UInt64 = 0
    var id: UInt16 = 0
    var command = Command.dmaRead
    var access = DMAAccess(address: 0, count: 0)
    /// The destination of a read's data.
    ///
    /// Sound: the caller of ``transfer(_:at:_:)`` keeps the memory until none of its slots waits.
    var destination: UnsafeMutableRawPointer?
    var isProbe = false
  }

  struct State {
    var slots: [Slot]
    var nextID: UInt16 = 0
    var nextTicket: UInt64 = 0
    var givenUp: Set<UInt16> = []
    var isClosed = false
    var layout: DMALayout?
    var isProbing = false
    var hasReader = false
    var reader = TwinReader()
  }

  /// Maximum number of IDs that a client may leave unanswered.
  static let maxGivenUp = 64
  let state: Monitor<State>
  let sender: MessageSender
  let twin: Bool
  /// Maximum number of bytes of one message.
  let chunk: Int
  /// Maximum number of bytes of one transfer in flight.
  let maxBytesInFlight: Int
  let timeout: Duration
  let logger: Logger
  let readingThread = InterruptibleThread()

  /// - Parameters:
  ///   - sender: of the twin socket, or of the main socket.
  ///   - twin: whether it is a twin socket, which no thread reads yet.
  ///   - client: the capabilities of the client.
  convenience init(
    _ sender: MessageSender, twin: Bool, client: Capabilities, _ options: ServerOptions
  ) {
    let chunk = max(
      1,
      min(
        Int(client.effectiveMaxDataTransfer), options.dmaMessageSize,
        options.messageLimit - Header.wireSize - DMAAccess.wireSize))
    self.init(
      sender, twin: twin, chunk: chunk, layout: DMALayout.isInDoubt(client) ? nil : .wide, options)
  }

  init(
    _ sender: MessageSender, twin: Bool, chunk: Int, layout: DMALayout?, _ options: ServerOptions
  ) {
    self.sender = sender
    self.twin = twin
    self.chunk = chunk
    let slots = max(1, options.dmaMessagesInFlight)
    maxBytesInFlight = chunk * slots
    timeout = options.dmaTimeout
    logger = options.logger
    state = Monitor(State(slots: Array(repeating: Slot(), count: slots), layout: layout))
  }

  /// Ends all transfers, because the client has gone.
  func close() {
    state.update { $0.isClosed = true }
    sender.close()
    if twin { sender.socket.shutdown() }
    // The reading thread ends soon, because the socket is shut down.
    _ = state.withLock(when: { !$0.hasReader }, before: .after(.seconds(2))) { _ in }
  }

  /// Handles a reply; called by the thread that reads the socket.
  func deliver(_ header: Header, _ payload: Span<UInt8>) {
    let isKnown = state.update { state in
      if state.givenUp.remove(header.id) != nil { return true }
      guard
        let index = state.slots.firstIndex(where: { $0.status == .waiting && $0.id == header.id })
      else { return false }
      if state.slots[index].isProbe {
        state.layout =
          header.flags.contains(.error) || payload.count != DMAAccess.wireSize ? .wide : .narrow
        state.slots[index].status = .done(nil)
      } else {
        let outcome = Self.outcome(
          of: state.slots[index], state.layout ?? .wide, header, payload)
        state.slots[index].status = .done(outcome)
      }
      unsafe state.slots[index].destination = nil
      return true
    }
    guard !isKnown else { return }
    logger.warning(
      "the client answers what was not asked",
      metadata: ["command": "\(header.command)", "id": "\(header.id)"])
  }

  /// The result of a reply; copies its data to the destination.
  private static func outcome(
    of slot: Slot, _ layout: DMALayout, _ header: Header, _ payload: Span<UInt8>
  ) -> MemoryError? {
    if header.flags.contains(.error) {
      let errno = CInt(exactly: header.error) ?? 0
      return .refused(errno == 0 ? .ioError : Errno(rawValue: errno))
    }
    guard header.command == slot.command else { return .malformedReply }
    guard slot.command == .dmaRead else {
      let reply = try? DMAWriteReply(decoding: payload)
      return reply?.confirms(slot.access) == true ? nil : .malformedReply
    }
    guard let destination = unsafe slot.destination,
      let data = layout.data(in: payload, for: slot.access)
    else { return .malformedReply }
    unsafe data.withUnsafeBytes {
      guard let from = $0.baseAddress else { return }
      unsafe destination.copyMemory(from: from, byteCount: $0.count)
    }
    return nil
  }
}
