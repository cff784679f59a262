import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A client that does one thing wrong, and what it gets for it.
struct Misbehaviour: CustomTestStringConvertible, Sendable {
  enum Outcome: Equatable, Sendable {
    case refused(Errno)
    case closed
  }

  let testDescription: String
  let bytes: [UInt8]
  let descriptors: Int
  let outcome: Outcome

  init(_ name: String, _ bytes: [UInt8], descriptors: Int = 0, _ outcome: Outcome) {
    testDescription = name
    self.bytes = bytes
    self.descriptors = descriptors
    self.outcome = outcome
  }
}

private func access(_ offset: UInt64, _ region: UInt32, _ count: UInt32, _ data: [UInt8] = [])
  -> [UInt8]
{
  bytes(of: RegionAccess(offset: offset, region: RegionIndex(rawValue: region), count: count))
    + data
}

private func map(
  _ address: UInt64, _ size: UInt64, offset: UInt64 = 0, flags: UInt32 = 3, argsz: UInt32 = 32
) -> [UInt8] {
  words([argsz, flags]) + longs([offset, address, size])
}

private func longs(_ longs: [UInt64]) -> [UInt8] {
  longs.flatMap { long in (0..<8).map { UInt8(truncatingIfNeeded: long >> (8 * UInt64($0))) } }
}

@Suite struct `A misbehaving client` {
  static let afterVersion: [Misbehaviour] = [
    // What is wrong with the message as such.
    .init("says VERSION twice", ScriptedPeer.versionOfQEMU, .refused(.invalidArgument)),
    .init("sends an unknown command", message(Command(rawValue: 99)), .refused(.noFunction)),
    .init("sends command 0", message(Command(rawValue: 0)), .refused(.noFunction)),
    .init(
      "sends the server's own command", message(.dmaRead, longs([0, 4])), .refused(.noFunction)),
    .init("sends the reserved DIRTY_PAGES", message(.dirtyPages, [0]), .refused(.notSupported)),
    .init(
      "sets a reserved flag", message(.deviceReset, flags: MessageFlags(rawValue: 1 << 6)),
      .refused(.invalidArgument)),
    .init(
      "sets the error flag on a command", message(.deviceReset, flags: .error),
      .refused(.invalidArgument)),
    .init(
      "sends more descriptors than were agreed",
      message(.deviceSetIRQs, words([20, 0x24, 0, 0, 1])), descriptors: 17,
      .refused(.invalidArgument)),
    .init("claims a size below the header", message(.deviceReset, size: 15), .closed),
    .init("claims a size of zero", message(.deviceReset, size: 0), .closed),
    .init("claims four gigabytes", message(.regionWrite, size: .max), .closed),
    .init(
      "claims one byte more than was agreed", message(.regionWrite, size: 16 + 16 + (1 << 20) + 1),
      .closed),
    .init(
      "sends a message of unknown type", message(.deviceReset, flags: MessageFlags(rawValue: 2)),
      .closed),
    // Payloads.
    .init(
      "cuts GET_INFO short", message(.deviceGetInfo, words([16, 0, 0])), .refused(.invalidArgument)),
    .init(
      "names an argsz too small for GET_INFO", message(.deviceGetInfo, words([15, 0, 0, 0])),
      .refused(.invalidArgument)),
    .init(
      "asks for a region that is not there",
      message(.deviceGetRegionInfo, words([32, 0, 9, 0, 0, 0, 0, 0])), .refused(.invalidArgument)),
    .init(
      "asks for region 4294967295",
      message(.deviceGetRegionInfo, words([32, 0, .max, 0, 0, 0, 0, 0])), .refused(.invalidArgument)
    ),
    .init(
      "asks for an interrupt type that is not there",
      message(.deviceGetIRQInfo, words([16, 0, 5, 0])), .refused(.invalidArgument)),
    .init("resets with a payload", message(.deviceReset, [1]), .refused(.invalidArgument)),
    // Regions.
    .init(
      "reads beyond the end of a region", message(.regionRead, access(253, 0, 4)),
      .refused(.invalidArgument)),
    .init(
      "reads at an offset that wraps", message(.regionRead, access(.max, 0, 4)),
      .refused(.invalidArgument)),
    .init(
      "reads a region that is not there", message(.regionRead, access(0, 1, 4)),
      .refused(.invalidArgument)),
    .init(
      "reads region 4294967295", message(.regionRead, access(0, .max, 4)),
      .refused(.invalidArgument)),
    .init(
      "reads more than was agreed", message(.regionRead, access(0, 4, (1 << 20) + 1)),
      .refused(.argListTooLong)),
    .init(
      "reads four gigabytes", message(.regionRead, access(0, 4, .max)), .refused(.invalidArgument)),
    .init(
      "reads with data", message(.regionRead, access(0, 0, 4, [1, 2, 3, 4])),
      .refused(.invalidArgument)),
    .init(
      "cuts a read short", message(.regionRead, Array(access(0, 0, 4)[..<15])),
      .refused(.invalidArgument)),
    .init(
      "reads what the device refuses", message(.regionRead, access(255, 0, 1)),
      .refused(.permissionDenied)),
    .init(
      "writes fewer bytes than it says", message(.regionWrite, access(0, 0, 4, [1, 2, 3])),
      .refused(.invalidArgument)),
    .init(
      "writes more bytes than it says", message(.regionWrite, access(0, 0, 4, [1, 2, 3, 4, 5])),
      .refused(.invalidArgument)),
    .init(
      "writes beyond the configuration space", message(.regionWrite, access(255, 7, 2, [1, 2])),
      .refused(.invalidArgument)),
    .init(
      "writes what the device refuses", message(.regionWrite, access(255, 0, 1, [0])),
      .refused(.permissionDenied)),
    .init(
      "coalesces more writes than it sends",
      message(.regionWriteMulti, longs([2]) + access(0, 0, 4) + longs([1])),
      .refused(.invalidArgument)),
    .init(
      "coalesces 2^61 writes", message(.regionWriteMulti, longs([1 << 61])),
      .refused(.invalidArgument)),
    .init(
      "coalesces a write of nine bytes",
      message(.regionWriteMulti, longs([1]) + access(0, 0, 9) + longs([1])),
      .refused(.invalidArgument)),
    // Memory.
    .init("maps nothing", message(.dmaMap, map(0, 0)), .refused(.invalidArgument)),
    .init("maps past 2^64", message(.dmaMap, map(.max - 4095, 8192)), .refused(.invalidArgument)),
    .init(
      "maps without a permission", message(.dmaMap, map(0, 4096, flags: 0)),
      .refused(.invalidArgument)),
    .init(
      "maps with a reserved flag", message(.dmaMap, map(0, 4096, flags: 0x13)),
      .refused(.invalidArgument)),
    .init(
      "maps more than the file holds", message(.dmaMap, map(0, 1 << 30)), descriptors: 1,
      .refused(.invalidArgument)),
    .init(
      "maps at a file offset that wraps", message(.dmaMap, map(0, 4096, offset: .max - 4095)),
      descriptors: 1, .refused(.invalidArgument)),
    .init(
      "cuts a map short", message(.dmaMap, Array(map(0, 4096)[..<31])), .refused(.invalidArgument)),
    .init(
      "unmaps what was never mapped", message(.dmaUnmap, words([24, 0]) + longs([0, 4096])),
      .refused(.noSuchFileOrDirectory)),
    .init(
      "unmaps everything at an address", message(.dmaUnmap, words([24, 2]) + longs([4096, 0])),
      .refused(.invalidArgument)),
    .init(
      "asks for the dirty pages of an unmap",
      message(.dmaUnmap, words([24, 1]) + longs([0, 4096])), .refused(.notSupported)),
    // Interrupts.
    .init(
      "sets interrupts of no kind of data", message(.deviceSetIRQs, words([20, 0x20, 0, 0, 1])),
      .refused(.invalidArgument)),
    .init(
      "sets interrupts of two kinds of data", message(.deviceSetIRQs, words([20, 0x23, 0, 0, 1])),
      .refused(.invalidArgument)),
    .init(
      "sets interrupts with two actions", message(.deviceSetIRQs, words([20, 0x31, 0, 0, 1])),
      .refused(.invalidArgument)),
    .init(
      "sets an interrupt out of range", message(.deviceSetIRQs, words([20, 0x21, 0, 1, 1])),
      .refused(.invalidArgument)),
    .init(
      "sets a range of interrupts that wraps",
      message(.deviceSetIRQs, words([20, 0x21, 0, .max, 2])), .refused(.invalidArgument)),
    .init(
      "sets interrupts of a type that is not there",
      message(.deviceSetIRQs, words([20, 0x21, 77, 0, 1])), .refused(.invalidArgument)),
    .init(
      "sets booleans and sends none", message(.deviceSetIRQs, words([21, 0x22, 0, 0, 1])),
      .refused(.invalidArgument)),
    .init(
      "sends two eventfds for one interrupt", message(.deviceSetIRQs, words([20, 0x24, 0, 0, 1])),
      descriptors: 2, .refused(.invalidArgument)),
  ]

  @Test(arguments: afterVersion)
  func `A misbehaving client gets the exact errno with the stream in step, or is disconnected`(
    _ misbehaviour: Misbehaviour
  )
    throws
  {
    let peer = try connect()
    var descriptors = DescriptorList()
    for _ in 0..<misbehaviour.descriptors { descriptors.append(taggedDescriptor(4096)) }
    peer.send(misbehaviour.bytes, descriptors: descriptors)
    switch misbehaviour.outcome {
    case .refused(let errno):
      let answer = try peer.receive()
      #expect(answer.errno == UInt32(errno.rawValue))
      #expect(answer.header.size == 16)
      let good = try peer.ask(message(.deviceGetInfo, id: 77, words([16, 0, 0, 0])))
      #expect(good.header.id == 77)
      #expect(good.errno == nil)
    case .closed:
      #expect(throws: StreamError.closedByPeer) { try peer.receive() }
    }
  }

  @Test(arguments: afterVersion.filter { $0.outcome != .closed })
  func `A misbehaving client that sets the no-reply flag gets no reply`(
    _ misbehaviour: Misbehaviour
  ) throws {
    let peer = try connect()
    var descriptors = DescriptorList()
    for _ in 0..<misbehaviour.descriptors { descriptors.append(taggedDescriptor(4096)) }
    var bytes = misbehaviour.bytes
    bytes[8] |= 1 << 4
    peer.send(bytes, descriptors: descriptors)
    #expect(try peer.ask(message(.deviceGetInfo, id: 77, words([16, 0, 0, 0]))).header.id == 77)
  }

  static let insteadOfVersion: [Misbehaviour] = [
    .init(
      "begins with another command", message(.deviceGetInfo, words([16, 0, 0, 0])),
      .refused(.invalidArgument)),
    .init(
      "speaks another major version", message(.version, [1, 0, 0, 0]),
      .refused(.protocolNotSupported)),
    .init("sends half a version", message(.version, [0, 0, 0]), .refused(.invalidArgument)),
    .init(
      "sends JSON without its end", message(.version, [0, 0, 1, 0] + Array("{}".utf8)),
      .refused(.invalidArgument)),
    .init(
      "sends something that is not JSON", message(.version, [0, 0, 1, 0] + Array("hello\0".utf8)),
      .refused(.invalidArgument)),
    .init(
      "wants to receive no data",
      message(
        .version, [0, 0, 1, 0] + Array(#"{"capabilities":{"max_data_xfer_size":0}}"#.utf8) + [0]),
      .refused(.invalidArgument)),
    .init(
      "wants a negative number of descriptors",
      message(.version, [0, 0, 1, 0] + Array(#"{"capabilities":{"max_msg_fds":-1}}"#.utf8) + [0]),
      .refused(.invalidArgument)),
    .init(
      "wants no answer to its version", message(.version, flags: .noReply, [0, 0, 1, 0]),
      .refused(.invalidArgument)),
    .init("claims more than 64 KiB before it is known", message(.version, size: 65_537), .closed),
    .init("speaks HTTP", Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), .closed),
  ]

  @Test(arguments: insteadOfVersion)
  func `A client whose first message is wrong is refused and disconnected`(
    _ misbehaviour: Misbehaviour
  ) throws {
    let peer = try connect(negotiated: false)
    var descriptors = DescriptorList()
    for _ in 0..<misbehaviour.descriptors { descriptors.append(taggedDescriptor(4096)) }
    peer.send(misbehaviour.bytes, descriptors: descriptors)
    if case .refused(let errno) = misbehaviour.outcome {
      #expect(try peer.receive().errno == UInt32(errno.rawValue))
    }
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
  }

  @Test func `A client that sends nothing is disconnected after the negotiation timeout`() throws {
    var options = ServerOptions()
    options.negotiationTimeout = .milliseconds(50)
    let peer = try connect(negotiated: false, options: options)
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
  }

  @Test func `A client that stops in the middle of a message is disconnected`() throws {
    var options = ServerOptions()
    options.messageTimeout = .milliseconds(50)
    let peer = try connect(options: options)
    peer.send(Array(message(.deviceGetInfo, words([16, 0, 0, 0]))[..<20]))
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
  }

  @Test func `A client that never reads its replies is disconnected`() throws {
    var options = ServerOptions()
    options.messageTimeout = .milliseconds(200)
    let device = TestDevice()
    let peer = try connect(to: device, options: options)
    for _ in 0..<64 { peer.send(message(.regionRead, access(0, 4, 1 << 20))) }
    #expect(eventually { device.state.withLock { $0.departures } == 1 })
  }

  @Test func `A misbehaving client leaves no descriptor open in the server`() async {
    await #expect(processExitsWith: .success) { try checkThatNoDescriptorStays() }
  }
}

private func checkThatNoDescriptorStays() throws {
  let before = settledDescriptors()
  for misbehaviour in `A misbehaving client`.afterVersion {
    let device = TestDevice()
    try misbehave(misbehaviour, towards: device)
    _ = eventually { device.state.withLock { $0.departures } == 1 }
  }
  _ = eventually { openDescriptors() == before }
  #expect(openDescriptors() == before)
}

private func misbehave(_ misbehaviour: Misbehaviour, towards device: TestDevice) throws {
  let peer = try connect(to: device)
  var descriptors = DescriptorList()
  for _ in 0..<misbehaviour.descriptors { descriptors.append(taggedDescriptor(4096)) }
  peer.send(misbehaviour.bytes, descriptors: descriptors)
  _ = try? peer.receive()
}
