import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let other = ClientError.implausibleReply
private let get: UInt32 = 1 << 16
private let short = WireError.truncated(needed: 0, had: 0)

/// Every kind of reply with one descriptor too many, too short for its fixed part, and too long.
extension `A misbehaving server` {
  /// What the command of an operation is, and a good reply to it.
  private static let good: [(ServerMisbehaviour.Operation, Command, [UInt8])] = [
    (.info, .deviceGetInfo, words([16, 2, 9, 5])),
    (.region, .deviceGetRegionInfo, words([32, 3, 0, 0, 0x1000, 0, 0, 0])),
    (.interrupt, .deviceGetIRQInfo, words([16, 1, 0, 1])),
    (.load, .regionRead, longs([8]) + words([0, 4, 77])),
    (.store, .regionWrite, longs([8]) + words([0, 4])),
    (.reset, .deviceReset, []),
    (.map, .dmaMap, []),
    (.unmapAll, .dmaUnmap, words([24, 2]) + longs([0, 0])),
    (.trigger, .deviceSetIRQs, []),
    (.feature, .deviceFeature, words([16, 2 | get, 2, 0])),
    (.dirtyPages, .deviceFeature, words([64, 8 | get]) + longs([0, 1 << 20, 4096, 1, 2, 3, 4])),
    (.migrationRead, .migrationDataRead, words([16, 8]) + longs([1])),
    (.migrationWrite, .migrationDataWrite, []),
  ]

  static let withDescriptors = good.map { operation, command, payload in
    // A region may bring the one by which it is mapped.
    let count = operation == .region ? 2 : 1
    let most = count - 1
    return ServerMisbehaviour.replying(
      "sends a descriptor too many with the reply to \(operation)", operation,
      other(command, "\(count) descriptors, at most \(most) were expected"), descriptors: count,
      payload)
  }

  static let with253Descriptors = good.map { operation, command, payload in
    ServerMisbehaviour.replying(
      "sends 253 descriptors with the reply to \(operation)", operation, other(command, ""),
      like: true, descriptors: 253, payload)
  }

  /// One byte less than the fixed part has.
  static let tooShort = good.filter { !$0.2.isEmpty }.map { operation, command, payload in
    ServerMisbehaviour(
      "leaves out the last byte of the reply to \(operation)", operation, nil
    ) { server, request in
      server.reply(to: request, Array(payload.dropLast()))
    }.failingEither(.malformedReply(command, short), other(command, ""))
  }

  static let tooLong = good.map { operation, command, payload in
    ServerMisbehaviour(
      "adds a mebibyte to the reply to \(operation)", operation, other(command, ""), like: true
    ) { server, request in
      server.reply(to: request, payload + [UInt8](repeating: 0, count: (1 << 20) - 64))
    }
  }

  static let regions: [ServerMisbehaviour] = [
    .replying(
      "describes a region with an argsz of 0", .region,
      .malformedReply(.deviceGetRegionInfo, short), like: true,
      words([0, 3, 0, 0, 0x1000, 0, 0, 0])),
    .replying(
      "describes a region with an argsz of 31", .region,
      .malformedReply(.deviceGetRegionInfo, short), like: true,
      words([31, 3, 0, 0, 0x1000, 0, 0, 0])),
    .replying(
      "describes interrupts with an argsz of 15", .interrupt,
      .malformedReply(.deviceGetIRQInfo, short), like: true, words([15, 0, 0, 1])),
    .replying(
      "sends more of a region than its argsz says", .region,
      .malformedReply(.deviceGetRegionInfo, short), like: true,
      words([32, 3, 0, 0, 0x1000, 0, 0, 0, 5])),
    .replying("has 2^32 - 1 interrupts of a type", .interrupt, nil, words([16, 0, 0, .max])),
    .replying("sets every flag of interrupts", .interrupt, nil, words([16, .max, 0, 1])),
    .replying(
      "has a region of 2^64 - 1 bytes", .region, nil,
      words([32, 3, 0, 0, .max, .max, .max, .max])),
    .replying(
      "has a region whose end in its file wraps", .region, other(.deviceGetRegionInfo, ""),
      like: true, descriptors: 1, words([32, 7, 0, 0, 0x1000, 0, .max, .max])),
    .replying(
      "says that there are capabilities and not where", .region, nil,
      words([32, 0xB, 0, 0, 0x1000, 0, 0, 0])),
    .replying(
      "says where capabilities are that there are not", .region, nil,
      words([48, 3, 0, 32, 0x1000, 0, 0, 0]) + capability(9, next: 7) + words([0, 0])),
    .replying(
      "puts its capabilities at odd offsets", .region, nil,
      regionWithChain(first: 33, [0] + capability(9, next: 43) + [0, 0] + capability(9, next: 0))),
    .replying(
      "overlaps two capabilities", .region,
      .malformedReply(.deviceGetRegionInfo, short), like: true,
      regionWithChain(
        first: 32, capability(1, next: 48) + words([1, 0]) + longs([0, 0x1000]))),
    .replying(
      "ends within the type of a region", .region,
      .malformedReply(.deviceGetRegionInfo, short), like: true,
      regionWithChain(first: 32, capability(2, next: 0) + words([1]))),
    .replying(
      "sends its list of areas twice", .region, nil, descriptors: 1,
      regionWithChain(
        first: 32,
        capability(1, next: 64) + words([1, 0]) + longs([0, 0x1000])
          + capability(1, next: 0) + words([1, 0]) + longs([0x1000, 0x1000]))),
    .replying(
      "lets an empty list of areas be mapped", .mapRegion, .unmappable(.bar0, ""), like: true,
      descriptors: 1, region([])),
    .replying(
      "lets an empty area be mapped", .mapRegion, nil, descriptors: 1, region([(0, 0)])),
    .replying(
      "lets an area at half a page be mapped", .mapRegion, .unmappable(.bar0, ""), like: true,
      descriptors: 1, region([(0x800, 0x1000)])),
    .replying(
      "lets an area be mapped and sends no file", .mapRegion, .unmappable(.bar0, ""), like: true,
      region([(0, 0x1000)])),
    .init("lets a socket be mapped", .mapRegion, .unmappable(.bar0, ""), like: true) {
      server, request in
      var list = DescriptorList()
      list.append(try server.socket.descriptor.duplicate())
      server.reply(to: request, region([(0, 0x1000)]), descriptors: list)
    },
  ]
}
