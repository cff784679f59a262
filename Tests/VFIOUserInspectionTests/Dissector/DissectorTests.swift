import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite(
  .timeLimit(.minutes(2)), .enabled(if: Wireshark.isThere, "\(Wireshark.remedy)"))
struct `The dissector in tshark` {
  /// A command for each reply, so that each has something to reply to.
  private static func conversation(_ all: [Worded]) -> [TracedMessage] {
    var messages: [TracedMessage] = []
    for (index, one) in all.enumerated() {
      let sender: MessageDirection = one.command.sender == .server ? .toClient : .toServer
      let id = UInt16(index)
      if one.isReply {
        let request = Worded.all.first { $0.command == one.command && !$0.isReply }
        messages.append(
          traced(
            sender, message(one.command, id: id, request?.payload ?? []),
            at: UInt64(messages.count) * 1000))
      }
      messages.append(
        traced(
          one.isReply ? sender.opposite : sender,
          message(one.command, id: id, flags: one.isReply ? .reply : [], one.payload),
          at: UInt64(messages.count) * 1000))
    }
    return messages
  }

  @Test func `Every command and every reply is decoded, and none is malformed`() throws {
    let messages = Self.conversation(Worded.all)
    let shark = try Wireshark(messages)
    let faults = try shark.faultTexts()
    #expect(faults == [])
    #expect(try shark.packets("vfio_user").count == messages.count)
    let infos = try shark.fields(["vfio_user.command", "_ws.col.Info"])
    for (message, info) in zip(messages, infos) {
      let header = try #require(message.header)
      #expect(info.first == "\(header.command.rawValue)")
      #expect(info.last?.contains("#\(header.id) \(header.command)") == true, "\(info)")
    }
  }

  @Test func `The payload of every command is decoded to its end`() throws {
    let all = Worded.all.filter {
      Names.commands.contains($0.command) && $0.command.sender != nil && !$0.payload.isEmpty
    }
    let messages = all.map {
      traced(.toServer, message($0.command, flags: $0.isReply ? .reply : [], $0.payload))
    }
    let shark = try Wireshark(messages)
    // Each payload has a field of its own in the tree.
    let trees = try shark.fields([
      "vfio_user.rest", "vfio_user.argsz", "vfio_user.address", "vfio_user.offset",
      "vfio_user.count64", "vfio_user.version_major",
    ])
    #expect(
      trees.allSatisfy { ($0.first ?? "").isEmpty && $0.dropFirst().contains { !$0.isEmpty } },
      "\(trees)")
  }

  @Test func `A message that is too short or too long is malformed`() throws {
    let fixed = Worded.all.filter {
      let hasForms: [Command] = [.version, .dmaWrite, .deviceFeature]
      // A description of a region that is shorter than argsz is incomplete.
      let isIncomplete = $0.command == .deviceGetRegionInfo && $0.isReply
      return !isIncomplete && $0.command.sender != nil && !hasForms.contains($0.command)
        && !$0.payload.isEmpty
    }
    let short = fixed.map { one in
      traced(
        .toServer,
        message(one.command, flags: one.isReply ? .reply : [], Array(one.payload.dropLast())))
    }
    let shark = try Wireshark(short)
    let found = try shark.packets("vfio_user.malformed")
    #expect(found == Array(1...short.count))
    #expect(try shark.packets("_ws.lua.error") == [])
    let long = try Wireshark([
      traced(.toServer, message(.deviceReset, [0])),
      traced(.toServer, message(.deviceReset, size: 99)),
      traced(.toServer, [1, 2, 3]),
      traced(.toServer, message(.deviceReset)),
    ])
    #expect(try long.packets("vfio_user.malformed") == [1, 2, 3])
  }

  @Test func `Replies are matched with their commands, with the time between them`() throws {
    let shark = try Wireshark([
      traced(.toServer, message(.deviceReset, id: 1), at: 1_000_000),
      traced(.toServer, message(.regionRead, id: 1, WrongDoing.readInfo), at: 1_001_000),
      traced(
        .toClient, message(.dmaRead, id: 1, bytes(of: DMAAccess(address: 0, count: 4))),
        at: 1_002_000),
      traced(.toClient, message(.deviceReset, id: 1, flags: .reply), at: 1_234_000),
      traced(
        .toServer, message(.dmaRead, id: 1, flags: [.reply, .error], error: 14), at: 1_300_000),
      traced(.toClient, message(.deviceReset, id: 1, flags: .reply), at: 1_400_000),
    ])
    let rows = try shark.fields(["vfio_user.request_in", "vfio_user.time"])
    #expect(rows[3] == ["1", "0.000234000"])
    #expect(rows[4] == ["3", "0.000298000"])
    // Nothing waits for the last one: it is the reply of another command.
    #expect(rows[5].first == "2")
    #expect(try shark.packets("vfio_user.violation") == [6])
    #expect(try shark.packets("vfio_user.failure") == [5])
    #expect(try shark.fields(["vfio_user.errno"], filter: "vfio_user.failed == 1") == [["14"]])
    // The second pass knows the replies too.
    let again = try shark.lines(["-2", "-T", "fields", "-e", "vfio_user.reply_in"])
    #expect(again.first == "4")
  }

  @Test func `Sides, sockets and descriptors are shown`() throws {
    let shark = try Wireshark([
      traced(
        .toServer, message(.dmaMap, Worded.all[1].payload),
        descriptors: [DescriptorNote(kind: "memfd", size: 4096, name: "ram")]),
      traced(
        .toClient, message(.dmaRead, bytes(of: DMAAccess(address: 0, count: 4))), isTwin: true),
    ])
    let rows = try shark.fields(["_ws.col.Source", "frame.interface_name", "frame.comment"])
    #expect(rows[0] == ["client", "connection 1", "descriptor 0: memfd size=4096 name=ram"])
    #expect(Array(rows[1].prefix(2)) == ["server", "connection 1 twin"])
  }

  @Test func `A message longer than a packet is cut, not malformed`() throws {
    let long = traced(
      .toServer,
      message(
        .regionWrite,
        bytes(of: RegionAccess(offset: 0, region: .bar0, count: 300_000))
          + [UInt8](repeating: 1, count: 300_000)))
    let shark = try Wireshark([long, traced(.toServer, message(.deviceReset))])
    let packets = try shark.fields(["frame.number", "frame.len", "vfio_user.command"])
    #expect(packets == [["1", "300032", "10"], ["2", "16", "13"]])
    let faults = try shark.faultTexts()
    #expect(faults == [])
  }

  @Test func `Changed bytes never break the dissector`() throws {
    var random = SplitMix64(seed: 8)
    let messages = (0..<400).map { _ in
      let one = Worded.all.randomElement(using: &random) ?? Worded.all[0]
      var payload = one.payload
      for index in payload.indices where Int.random(in: 0..<6, using: &random) == 0 {
        payload[index] = UInt8.random(in: .min ... .max, using: &random)
      }
      return traced(
        Bool.random(using: &random) ? .toServer : .toClient,
        message(one.command, id: 1, flags: one.isReply ? .reply : [], payload))
    }
    let faults = try Wireshark(messages).lines(["-V", "-Y", "_ws.lua.error"])
      .filter { $0.contains("Lua Error") }
    #expect(faults == [])
  }
}
