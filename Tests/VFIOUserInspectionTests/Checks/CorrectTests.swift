import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite struct `Messages as they should be` {
  @Test func `A negotiation with a twin socket is correct`() {
    var talk = Conversation(negotiated: false)
    #expect(talk.command(.version, version(Conversation.proposal)).violations.isEmpty)
    let answer = talk.reply(
      .version, version(#"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#),
      descriptors: 1)
    #expect(answer.violations.isEmpty && answer.latency == 100)
    talk.map(0, 0x1000)
    let read = talk.say(
      .toClient, message(.dmaRead, id: 5, bytes(of: DMAAccess(address: 0, count: 4))), isTwin: true)
    #expect(read.violations.isEmpty)
    let reply = talk.say(
      .toServer,
      message(
        .dmaRead, id: 5, flags: .reply, bytes(of: DMAAccess(address: 0, count: 4)) + [1, 2, 3, 4]),
      isTwin: true)
    #expect(reply.violations.isEmpty && reply.latency == 100)
  }

  @Test func `Commands with the same ID have their own replies`() {
    var talk = Conversation()
    _ = talk.command(
      .regionRead, id: 3, bytes(of: RegionAccess(offset: 0, region: .bar0, count: 1)))
    _ = talk.command(.deviceReset, id: 3)
    #expect(talk.checker.openCount == 2)
    #expect(talk.reply(.deviceReset, id: 3).violations.isEmpty)
    let read = talk.reply(
      .regionRead, id: 3, bytes(of: RegionAccess(offset: 0, region: .bar0, count: 1)) + [0])
    #expect(read.violations.isEmpty && read.latency == 300)
    #expect(talk.checker.openCount == 0)
  }

  @Test func `An ID of the client and the same of the server do not meet`() {
    var talk = Conversation()
    talk.map(0, 0x1000)
    _ = talk.command(.deviceReset, id: 3)
    _ = talk.say(.toClient, message(.dmaRead, id: 3, bytes(of: DMAAccess(address: 0, count: 1))))
    #expect(talk.reply(.deviceReset, id: 3).violations.isEmpty)
    let reply = talk.say(
      .toServer,
      message(.dmaRead, id: 3, flags: .reply, bytes(of: DMAAccess(address: 0, count: 1)) + [0]))
    #expect(reply.violations.isEmpty)
  }

  /// QEMU sends the map before the reply to the unmap.
  @Test func `A window may replace one that is being unmapped`() {
    var talk = Conversation()
    talk.map(0, 0x2000)
    _ = talk.command(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x2000)))
    let map = bytes(of: DMAMap(flags: [.readable], address: 0x1000, size: 0x1000))
    #expect(talk.command(.dmaMap, id: 3, map).violations.isEmpty)
    _ = talk.reply(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x2000)))
    _ = talk.reply(.dmaMap, id: 3)
    let read = message(.dmaRead, bytes(of: DMAAccess(address: 0x1000, count: 4)))
    #expect(talk.say(.toClient, read).violations.isEmpty)
  }

  @Test func `Accesses may span windows without a gap`() {
    var talk = Conversation()
    talk.map(0x1000, 0x1000)
    talk.map(0, 0x1000)
    let read = message(.dmaRead, bytes(of: DMAAccess(address: 0xFFE, count: 4)))
    #expect(talk.say(.toClient, read).violations.isEmpty)
  }

  @Test func `A failed map leaves no window, and a failed unmap leaves it`() {
    var talk = Conversation()
    let map = bytes(of: DMAMap(flags: [.readable], address: 0, size: 0x1000))
    _ = talk.command(.dmaMap, id: 2, map)
    _ = talk.reply(.dmaMap, id: 2, error: 22)
    let read = message(.dmaRead, bytes(of: DMAAccess(address: 0, count: 4)))
    #expect(!talk.say(.toClient, read).violations.isEmpty)
    talk.map(0, 0x1000)
    _ = talk.command(.dmaUnmap, id: 4, bytes(of: DMAUnmap(address: 0, size: 0x1000)))
    _ = talk.reply(.dmaUnmap, id: 4, error: 16)
    #expect(talk.say(.toClient, read).violations.isEmpty)
  }

  @Test func `Unmapping everything leaves nothing`() {
    var talk = Conversation()
    talk.map(0, 0x1000)
    talk.map(0x2000, 0x1000)
    #expect(talk.command(.dmaUnmap, id: 2, bytes(of: DMAUnmap.everything)).violations.isEmpty)
    _ = talk.reply(.dmaUnmap, id: 2, bytes(of: DMAUnmap.everything))
    let read = message(.dmaRead, bytes(of: DMAAccess(address: 0, count: 4)))
    #expect(!talk.say(.toClient, read).violations.isEmpty)
  }

  @Test func `An incomplete description of a region needs no descriptor`() {
    var talk = Conversation()
    var info = RegionInfo(flags: [.mappable], index: .bar0, size: 4096)
    info.argumentSize = 80
    _ = talk.command(.deviceGetRegionInfo, bytes(of: RegionInfo.request(.bar0)))
    #expect(talk.reply(.deviceGetRegionInfo, bytes(of: info)).violations.isEmpty)
  }

  @Test func `A transfer of the largest size is correct`() {
    var talk = Conversation()
    let access = RegionAccess(offset: 0, region: .bar0, count: 8192)
    #expect(talk.command(.regionRead, bytes(of: access)).violations.isEmpty)
  }

  @Test func `Commands whose replies never come do not pile up`() {
    var talk = Conversation()
    var said = 0
    for number in 0..<(OpenRequests.limit + 10) {
      said += talk.command(.deviceReset, id: UInt16(truncatingIfNeeded: number)).violations.count
    }
    #expect(said == 1 && talk.checker.openCount <= OpenRequests.limit)
  }

  @Test func `Commands with one ID that never get replies do not pile up`() {
    var talk = Conversation()
    var said = 0
    for _ in 0..<(OpenRequests.sameLimit * 2) {
      said += talk.command(.deviceReset, id: 1).violations.count
    }
    #expect(said == 2 && talk.checker.openCount == OpenRequests.sameLimit)
  }

  @Test func `Random messages never trap`() {
    var random = SplitMix64(seed: 14)
    var talk = Conversation()
    for _ in 0..<20000 {
      var bytes = message(
        Command(rawValue: UInt16.random(in: 0...20, using: &random)),
        id: UInt16.random(in: 0...3, using: &random),
        flags: MessageFlags(rawValue: [0, 1, 0x10, 0x21].randomElement(using: &random) ?? 0),
        random.bytes(Int.random(in: 0...64, using: &random)))
      if Bool.random(using: &random) {
        bytes[16...].indices.forEach { if $0 % 4 != 0 { bytes[$0] = 0 } }
      }
      let direction: MessageDirection = Bool.random(using: &random) ? .toServer : .toClient
      _ = talk.say(direction, bytes, isTwin: Bool.random(using: &random))
    }
    #expect(talk.checker.openCount <= OpenRequests.limit)
  }
}
