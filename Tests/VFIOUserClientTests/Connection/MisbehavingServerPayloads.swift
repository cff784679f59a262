import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let other = ClientError.implausibleReply

extension `A misbehaving server` {
  static let payloads: [ServerMisbehaviour] = [
    .replying(
      "cuts the device's description short", .info,
      .malformedReply(.deviceGetInfo, .truncated(needed: 16, had: 15)),
      Array(words([16, 2, 9, 5]).dropLast())),
    .replying(
      "describes the device with a small argsz", .info,
      .malformedReply(.deviceGetInfo, .argumentSizeTooSmall(needed: 16, had: 15)),
      words([15, 2, 9, 5])),
    .replying(
      "describes the device at length", .info,
      other(.deviceGetInfo, "65 bytes, at most 64 were expected"),
      words([16, 2, 9, 5]) + [UInt8](repeating: 0, count: 49)),
    .replying(
      "has 101 regions", .info, other(.deviceGetInfo, ""), like: true, words([16, 2, 101, 5])),
    .replying(
      "has 51 types of interrupts", .info, other(.deviceGetInfo, ""), like: true,
      words([16, 2, 9, 51])),
    .replying(
      "has 2^32 - 1 of each", .info, other(.deviceGetInfo, ""), like: true,
      words([16, 2, .max, .max])),
    .replying("has as many as there may be", .info, nil, words([16, 2, 100, 50])),
    .replying(
      "describes another type of interrupts", .interrupt,
      other(.deviceGetIRQInfo, "it is about type 1"), words([16, 0, 1, 1])),
    .replying(
      "cuts the description of interrupts short", .interrupt,
      .malformedReply(.deviceGetIRQInfo, .truncated(needed: 16, had: 0)), []),
    .loading("answers about another offset", offset: 9),
    .loading("answers about another region", region: 1),
    .loading("answers about fewer bytes", count: 3, bytes: 3),
    .loading("answers about more bytes", count: 5, bytes: 5),
    .loading("says four bytes and sends three", bytes: 3),
    .loading("says four bytes and sends none", bytes: 0),
    .loading("says four bytes and sends a mebibyte", bytes: 1 << 20),
    .loading("says five bytes and sends four", count: 5),
    .replying(
      "answers a read with nothing", .load,
      .malformedReply(.regionRead, .truncated(needed: 16, had: 0)), []),
    .replying(
      "answers a write about another offset", .store, other(.regionWrite, ""), like: true,
      longs([9]) + words([0, 4])),
    .replying(
      "answers a write about fewer bytes", .store, other(.regionWrite, ""), like: true,
      longs([8]) + words([0, 3])),
    .replying(
      "answers a write with the data", .store, other(.regionWrite, ""), like: true,
      longs([8]) + words([0, 4, 1])),
    .replying(
      "answers a write with nothing", .store,
      .malformedReply(.regionWrite, .truncated(needed: 16, had: 0)), []),
  ]

  static let chains: [ServerMisbehaviour] = [
    .replying(
      "describes another region", .region, other(.deviceGetRegionInfo, "it is about region 1"),
      words([32, 3, 1, 0, 0x1000, 0, 0, 0])),
    .replying(
      "sends two descriptors with a region", .region,
      other(.deviceGetRegionInfo, "2 descriptors, at most 1 were expected"), descriptors: 2,
      words([32, 7, 0, 0, 0x1000, 0, 0, 0])),
    .chain("leads its capabilities in a circle", 32, first: 32, capability(9, next: 32)),
    .chain(
      "leads its capabilities in a larger circle", 32, first: 32,
      capability(9, next: 40) + capability(9, next: 32)),
    .chain("leads its capabilities backwards", 8, first: 32, capability(9, next: 8)),
    .chain("begins its capabilities in the fixed part", 16, first: 16, capability(9, next: 0)),
    .chain("begins its capabilities outside", 4000, first: 4000, capability(9, next: 0)),
    .chain("leads its capabilities outside", .max, first: 32, capability(9, next: .max)),
    .chain("leads into the last byte", 39, first: 32, capability(9, next: 39)),
    .replying(
      "names 2^32 - 1 sparse areas", .region,
      .malformedReply(.deviceGetRegionInfo, .truncated(needed: 0, had: 0)),
      like: true, regionWithChain(first: 32, capability(1, next: 0) + words([.max, 0]))),
    .replying(
      "names an area outside of the region", .region, other(.deviceGetRegionInfo, ""), like: true,
      descriptors: 1,
      regionWithChain(first: 32, capability(1, next: 0) + words([1, 0]) + longs([0xF000, 0x1001]))),
    .replying(
      "names an area that wraps", .region, other(.deviceGetRegionInfo, ""), like: true,
      descriptors: 1,
      regionWithChain(first: 32, capability(1, next: 0) + words([1, 0]) + longs([.max, 2]))),
    .replying(
      "needs more than 64 KiB for its capabilities", .region,
      other(.deviceGetRegionInfo, "its capabilities need 65537 bytes, at most 65536 are taken"),
      words([65_537, 11, 0, 0, 0x1000, 0, 0, 0])),
    .init(
      "needs more for its capabilities each time", .region,
      other(.deviceGetRegionInfo, "its capabilities need 500 bytes by now")
    ) { server, request in
      server.reply(to: request, words([400, 11, 0, 0, 0x1000, 0, 0, 0]))
      let again = try server.receive()
      server.reply(to: again, words([500, 11, 0, 0, 0x1000, 0, 0, 0]))
    },
  ]
}

extension ServerMisbehaviour {
  /// A server whose capabilities of a region cannot be walked.
  static func chain(
    _ name: String, _ offset: UInt32, first: UInt32, _ chain: [UInt8]
  ) -> ServerMisbehaviour {
    replying(
      name, .region,
      .malformedReply(
        .deviceGetRegionInfo, .brokenChain(offset: offset, within: 32 + chain.count)),
      regionWithChain(first: first, chain))
  }
}
