import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

/// Something that a peer does wrong, and what has to be said about it.
struct WrongDoing: Sendable, CustomTestStringConvertible {
  let says: String
  let clause: String
  let act: @Sendable (inout Conversation) -> CheckedMessage

  var testDescription: String { says }

  init(
    _ clause: String, _ says: String,
    _ act: @escaping @Sendable (inout Conversation) -> CheckedMessage
  ) {
    self.clause = clause
    self.says = says
    self.act = act
  }

  static let map = bytes(of: DMAMap(flags: [.readable], address: 0x10_0000, size: 0x1000))
  static let readInfo = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4))

  static let headers: [WrongDoing] = [
    .init("Header", "type 2 is neither") {
      $0.say(.toServer, message(.deviceReset, flags: MessageFlags(rawValue: 2)))
    },
    .init("Header", "undefined flags 0x40") {
      $0.command(.deviceReset, flags: MessageFlags(rawValue: 0x40))
    },
    .init("Header", "the Error bit in a command") { $0.command(.deviceReset, flags: .error) },
    .init("Header", "error number 5 in a command") {
      $0.say(.toServer, message(.deviceReset, error: 5))
    },
    .init("Header", "error number 5 without the Error bit") {
      _ = $0.command(.deviceReset)
      return $0.say(.toClient, message(.deviceReset, id: 1, flags: .reply, error: 5))
    },
    .init("Header", "No_reply in a reply") {
      _ = $0.command(.deviceReset)
      return $0.say(.toClient, message(.deviceReset, id: 1, flags: [.reply, .noReply]))
    },
    .init("Header", "an error reply of 20 bytes") {
      _ = $0.command(.deviceReset)
      return $0.reply(.deviceReset, error: 22, [0, 0, 0, 0])
    },
    .init("Header", "4096 is no UNIX errno") {
      _ = $0.command(.deviceReset)
      return $0.reply(.deviceReset, error: 4096)
    },
    .init("Header", "reply to no command") { $0.reply(.deviceReset, id: 9) },
    .init("Header", "reply to no command") {
      _ = $0.command(.deviceReset, flags: .noReply)
      return $0.reply(.deviceReset)
    },
    .init("Header", "reply of REGION_READ to a command DEVICE_RESET") {
      _ = $0.command(.deviceReset)
      return $0.reply(.regionRead)
    },
    .init("Commands", "not a command of the specification") { $0.command(Command(rawValue: 19)) },
    .init("Commands", "not a command of the specification") { $0.command(.dirtyPages) },
    .init("Commands", "DMA_READ is not a command of the client") {
      $0.command(.dmaRead, bytes(of: DMAAccess(address: 0, count: 0)))
    },
    .init("Commands", "DEVICE_RESET is not a command of the server") {
      $0.say(.toClient, message(.deviceReset))
    },
  ]

  static let negotiation: [WrongDoing] = [
    .init("VFIO_USER_VERSION", "DEVICE_RESET before VERSION") {
      $0 = Conversation(negotiated: false)
      return $0.command(.deviceReset)
    },
    .init("VFIO_USER_VERSION", "VERSION again") { $0.command(.version, version("")) },
    .init("VFIO_USER_VERSION", "not valid JSON") {
      $0 = Conversation(negotiated: false)
      return $0.command(.version, version("{"))
    },
    .init("VFIO_USER_VERSION", "major version 1, proposed was 0") {
      answer(&$0, version("", major: 1))
    },
    .init("VFIO_USER_VERSION", "minor version 2, proposed was only 1") {
      answer(&$0, version("", minor: 2))
    },
    .init("VFIO_USER_VERSION", "capabilities that the client has not proposed: migration, odd") {
      answer(&$0, version(#"{"capabilities":{"odd":1,"migration":{"pgsize":4096}}}"#))
    },
    .init("VFIO_USER_VERSION", "fd_index is missing, with 0 descriptors") {
      answer(&$0, version(#"{"capabilities":{"twin_socket":{"supported":true}}}"#))
    },
    .init("VFIO_USER_VERSION", "fd_index 1, with 1 descriptors") {
      answer(
        &$0, version(#"{"capabilities":{"twin_socket":{"supported":true,"fd_index":1}}}"#),
        descriptors: 1)
    },
    .init("VFIO_USER_VERSION", "a twin socket that the client does not support") {
      $0 = Conversation(negotiated: false)
      _ = $0.command(.version, version(""))
      return $0.reply(
        .version, version(#"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#),
        descriptors: 1)
    },
    .init("VFIO_USER_VERSION", "3 descriptors, max_msg_fds of the receiver is 2") {
      $0.command(
        .deviceSetIRQs,
        bytes(
          of: SetInterrupts(
            data: .eventDescriptors, action: .trigger, index: .msix, start: 0, count: 3)),
        descriptors: 3)
    },
    .init("VFIO_USER_VERSION", "has not agreed to write_multiple") {
      $0 = Conversation(answer: "")
      return $0.command(.regionWriteMulti, bytes(of: RegionWriteMulti(writes: [])))
    },
    .init("Socket", "DMA_READ on the main socket") {
      $0 = withTwin()
      $0.map(0, 0x1000)
      return $0.say(.toClient, message(.dmaRead, bytes(of: DMAAccess(address: 0, count: 4))))
    },
    .init("Socket", "DEVICE_RESET on the twin socket") {
      $0 = withTwin()
      return $0.say(.toServer, message(.deviceReset), isTwin: true)
    },
  ]

  static func answer(
    _ talk: inout Conversation, _ payload: [UInt8], descriptors: Int = 0
  ) -> CheckedMessage {
    talk = Conversation(negotiated: false)
    _ = talk.command(.version, version(Conversation.proposal))
    return talk.reply(.version, payload, descriptors: descriptors)
  }

  static func withTwin() -> Conversation {
    var talk = Conversation(negotiated: false)
    _ = answer(
      &talk, version(#"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#),
      descriptors: 1)
    return talk
  }
}
