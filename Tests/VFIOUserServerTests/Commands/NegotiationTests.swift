import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `The reply to VERSION` {
  func ask(_ json: String, minor: UInt16 = 0, options: ServerOptions = ServerOptions()) throws
    -> ScriptedPeer.Answer
  {
    let peer = try connect(negotiated: false, options: options)
    return try peer.ask(
      message(.version, id: 5, [0, 0, UInt8(minor), 0] + Array(json.utf8) + [0]))
  }

  /// The JSON of an answer and its final NUL.
  func text(_ answer: ScriptedPeer.Answer) -> String {
    String(decoding: answer.payload.dropFirst(4), as: UTF8.self)
  }

  @Test
  func `The reply to VERSION of QEMU has the expected bytes and fits into the request buffer`()
    throws
  {
    let peer = try connect(negotiated: false)
    let request = ScriptedPeer.versionOfQEMU
    let answer = try peer.ask(request)
    let json =
      #"{"capabilities":{"max_data_xfer_size":1048576,"max_dma_maps":65535,"max_msg_fds":16,"pgsizes":4096,"write_multiple":true}}"#
    #expect(answer.payload == [0, 0, 0, 0] + Array(json.utf8) + [0])
    #expect(answer.header.flags == .reply)
    // QEMU receives the reply into the buffer of its request, and gives up on a longer one.
    #expect(Int(answer.header.size) <= request.count)
  }

  @Test func `The reply to VERSION contains no capability that the client did not name`() throws {
    let answer = try ask(#"{"capabilities":{"max_msg_fds":8}}"#)
    #expect(text(answer) == #"{"capabilities":{"max_msg_fds":8}}"# + "\0")
  }

  @Test func `The reply to VERSION contains no limit above that of the client`() throws {
    let proposal =
      #"{"capabilities":{"max_data_xfer_size":65536,"max_dma_maps":10,"max_msg_fds":1,"pgsizes":4096}}"#
    #expect(text(try ask(proposal)) == proposal + "\0")
  }

  @Test func `The reply to VERSION contains no limit above that of the server`() throws {
    let answer = try ask(
      #"{"capabilities":{"max_data_xfer_size":67108864,"max_dma_maps":100000,"max_msg_fds":253}}"#)
    let highest =
      #"{"capabilities":{"max_data_xfer_size":1048576,"max_dma_maps":65535,"max_msg_fds":16}}"#
    #expect(text(answer) == highest + "\0")
  }

  @Test func `The reply to VERSION without capabilities has no capabilities either`() throws {
    let peer = try connect(negotiated: false)
    let answer = try peer.ask(message(.version, [0, 0, 1, 0]))
    #expect(answer.payload == [0, 0, 1, 0])
  }

  @Test(arguments: [(0, 0), (1, 1), (2, 1), (255, 1)] as [(UInt8, UInt8)])
  func `The reply to VERSION has the lower of the two minor versions`(
    proposed: UInt8, answered: UInt8
  ) throws {
    let peer = try connect(negotiated: false)
    #expect(try peer.ask(message(.version, [0, 0, proposed, 0])).payload[2] == answered)
  }

  @Test func `The reply to VERSION omits unknown capabilities`() throws {
    let answer = try ask(#"{"capabilities":{"max_msg_fds":8,"teleport":true}}"#)
    #expect(text(answer) == #"{"capabilities":{"max_msg_fds":8}}"# + "\0")
  }
}
