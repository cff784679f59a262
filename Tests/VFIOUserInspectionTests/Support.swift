import TestSupport
import VFIOUserProtocol

@testable import VFIOUserInspection

/// A message on the main socket of connection 1.
func traced(
  _ direction: MessageDirection, _ bytes: [UInt8], at instant: UInt64 = 0,
  descriptors: [DescriptorNote] = [], isTwin: Bool = false
) -> TracedMessage {
  TracedMessage(
    instant: instant,
    stream: TracedStream(connection: 1, isTwin: isTwin, direction: direction), bytes: bytes,
    descriptors: descriptors)
}

/// The bytes of hexadecimal digits; spaces and line breaks are skipped.
func hex(_ text: String) -> [UInt8] {
  let digits = Array(text.filter(\.isHexDigit))
  return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
    UInt8(String(digits[$0...$0 + 1]), radix: 16)
  }
}

/// A VERSION payload with JSON.
func version(_ json: String, major: UInt8 = 0, minor: UInt8 = 1) -> [UInt8] {
  [major, 0, minor, 0] + Array(json.utf8) + (json.isEmpty ? [] : [0])
}

/// Follows a conversation that has begun with VERSION.
struct Conversation {
  var checker = ConnectionChecker()
  var instant: UInt64 = 1000

  static let proposal =
    #"{"capabilities":{"max_msg_fds":4,"max_data_xfer_size":4096,"pgsizes":4096,"max_dma_maps":8,"write_multiple":true,"twin_socket":{"supported":true}}}"#
  static let answer =
    #"{"capabilities":{"max_msg_fds":2,"max_data_xfer_size":8192,"pgsizes":4096,"max_dma_maps":2,"write_multiple":true}}"#

  init(negotiated: Bool = true, answer: String = answer) {
    guard negotiated else { return }
    _ = command(.version, version(Self.proposal))
    _ = reply(.version, version(answer))
  }

  mutating func say(
    _ direction: MessageDirection, _ bytes: [UInt8], _ descriptors: [DescriptorNote] = [],
    isTwin: Bool = false
  ) -> CheckedMessage {
    instant += 100
    return checker.check(
      traced(direction, bytes, at: instant, descriptors: descriptors, isTwin: isTwin))
  }

  /// The client sends a command.
  mutating func command(
    _ command: Command, id: UInt16 = 1, flags: MessageFlags = [], _ payload: [UInt8] = [],
    descriptors: Int = 0
  ) -> CheckedMessage {
    say(
      .toServer, message(command, id: id, flags: flags, payload),
      [DescriptorNote](repeating: DescriptorNote(kind: "eventfd"), count: descriptors))
  }

  /// The server replies.
  mutating func reply(
    _ command: Command, id: UInt16 = 1, error: UInt32 = 0, _ payload: [UInt8] = [],
    descriptors: Int = 0
  ) -> CheckedMessage {
    say(
      .toClient,
      message(
        command, id: id, flags: error == 0 ? .reply : [.reply, .error], error: error, payload),
      [DescriptorNote](repeating: DescriptorNote(kind: "memfd", size: 4096), count: descriptors))
  }

  /// A window that the server has accepted.
  mutating func map(
    _ address: UInt64, _ size: UInt64, _ flags: DMAMapFlags = [.readable, .writable]
  ) {
    _ = command(.dmaMap, id: 77, bytes(of: DMAMap(flags: flags, address: address, size: size)))
    _ = reply(.dmaMap, id: 77)
  }
}
