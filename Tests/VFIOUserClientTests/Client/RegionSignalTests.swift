import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// What a server sends with an answer.
enum Enclosure: Sendable {
  case event
  case socket
}

/// Descriptors of the kinds; a test keeps the eventfds to see what is counted.
private func list(_ enclosures: [Enclosure], _ kept: Notes<EventFD>) throws -> DescriptorList {
  var list = DescriptorList()
  for enclosure in enclosures {
    switch enclosure {
    case .event:
      let counter = try EventFD()
      kept.add(counter)
      list.append(try counter.descriptor.duplicate())
    case .socket:
      let (mine, _) = try MessageSocket.pair()
      list.append(try mine.descriptor.duplicate())
    }
  }
  return list
}

private func part(
  _ offset: UInt64, _ size: UInt64, descriptor: UInt32, kind: UInt32 = 0, flags: UInt32 = 0,
  value: UInt64 = 0
) -> [UInt8] {
  longs([offset, size]) + words([descriptor, kind, flags, 0]) + longs([value])
}

private func answer(_ parts: [[UInt8]], index: UInt32 = 0) -> [UInt8] {
  words([UInt32(16 + 40 * parts.count), 0, index, UInt32(parts.count)]) + parts.flatMap { $0 }
}

/// A client whose server has one region of 4 KiB, and answers the question for its signals like this.
private func client(
  _ payload: [UInt8], _ enclosures: [Enclosure], _ kept: Notes<EventFD> = Notes(),
  posts: Notes<UInt32> = Notes()
) throws -> (Client, Region) {
  let client = try client { server in
    server.reply(to: try server.receive(), words([32, 3, 0, 0, 0x1000, 0, 0, 0]))
    server.reply(to: try server.receive(), payload, descriptors: try list(enclosures, kept))
    while true {
      let message = try server.receive()
      if message.header.flags.contains(.noReply) {
        posts.add(message.payload.dropFirst(16).reversed().reduce(0) { $0 << 8 | UInt32($1) })
      }
      server.answer(message)
    }
  }
  return (client, try client.region(.bar0))
}

@Suite struct `Ioeventfds and ioregionfds of a region` {
  @Test
  func `Sub-regions may share an eventfd, and a matching post signals it instead of a message`()
    throws
  {
    let kept = Notes<EventFD>()
    let posts = Notes<UInt32>()
    let payload = answer([
      part(0x10, 4, descriptor: 1), part(0x14, 4, descriptor: 1, flags: 1, value: 5),
      part(0x20, 0, descriptor: 0, kind: 1, flags: 2, value: 99),
      part(0x40, 0, descriptor: 2, kind: 7),
    ])
    let (client, region) = try client(payload, [.socket, .event, .socket], kept, posts: posts)
    let signals = try client.signals(of: region)
    #expect(signals.parts.map(\.offset) == [0x10, 0x14, 0x20, 0x40])
    guard case .event(_, nil) = signals.parts[0].channel,
      case .event(_, 5) = signals.parts[1].channel,
      case .accesses(_, 99) = signals.parts[2].channel,
      case .other(SubRegionKind(rawValue: 7), _) = signals.parts[3].channel
    else {
      Issue.record("\(signals)")
      return
    }
    try client.post(UInt32(1), signals, at: 0x10)
    try client.post(UInt32(5), signals, at: 0x14)
    #expect(kept.all[0].take() == 2)
    try client.post(UInt32(6), signals, at: 0x14)
    try client.post(UInt8(7), signals, at: 0x10)
    try client.post(UInt32(8), signals, at: 0x20)
    _ = try client.deviceInfo()
    #expect(posts.all == [6, 7, 8])
    #expect(kept.all[0].take() == 0)
  }

  @Test func `GET_REGION_IO_FDS is sent again with more room when the list does not fit`()
    async throws
  {
    let parts = (0..<16).map { part($0 * 8, 8, descriptor: 0) }
    let rooms = Notes<UInt32>()
    let client = try client { server in
      server.reply(to: try server.receive(), words([32, 3, 0, 0, 0x1000, 0, 0, 0]))
      for payload in [words([656, 0, 0, 16]), answer(parts)] {
        let request = try server.receive()
        rooms.add(request.word(at: 0))
        server.reply(
          to: request, payload,
          descriptors: payload.count > 16 ? try list([.event], Notes()) : DescriptorList())
      }
      try server.serve()
    }
    let region: Region = try await client.region(.bar0)
    #expect(try await client.signals(of: region).parts.count == 16)
    #expect(rooms.all == [256, 656])
  }

  @Test func `A region may have neither ioeventfds nor ioregionfds`() throws {
    let (client, region) = try client(words([16, 0, 0, 0]), [])
    #expect(try client.signals(of: region).parts.isEmpty)
  }

  @Test(
    arguments: [
      (answer([part(0, 4, descriptor: 0)], index: 1), [.event], "about region 1"),
      (answer([part(0, 4, descriptor: 1)]), [.event], "descriptor 1 of 1"),
      (answer([part(0, 4, descriptor: .max)]), [.event], "descriptor 4294967295 of 1"),
      (answer([part(0, 4, descriptor: 0)]), [], "descriptor 0 of 0"),
      (answer([part(0, 4, descriptor: 0)]), [.socket], "not of the kind"),
      (answer([part(0, 4, descriptor: 0, kind: 1)]), [.event], "not of the kind"),
      (answer([part(0xFFF, 2, descriptor: 0)]), [.event], "in a region of 4096"),
      (answer([part(0x1000, 0, descriptor: 0)]), [.event], "in a region of 4096"),
      (answer([part(.max, 2, descriptor: 0)]), [.event], "in a region of 4096"),
      (words([65_537, 0, 0, 1638]), [], "it needs 65537 bytes, at most 65536"),
    ] as [([UInt8], [Enclosure], String)])
  func `A GET_REGION_IO_FDS reply with invalid sub-regions is refused`(
    _ payload: [UInt8], _ enclosures: [Enclosure], _ why: String
  ) throws {
    let (client, region) = try client(payload, enclosures)
    guard
      case .implausibleReply(.deviceGetRegionIOFDs, let text) = failure({
        () throws(ClientError) in _ = try client.signals(of: region)
      })?.reason
    else {
      Issue.record("they were taken")
      return
    }
    #expect(text.contains(why), "\(text)")
    #expect(try client.deviceInfo().regionCount == 9)
  }
}
