import TestSupport
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let get: UInt32 = 1 << 16
private let set: UInt32 = 1 << 17
private let probe: UInt32 = 1 << 18
private let describedRegion = words([32, 3, 0, 0, 0x1000, 0, 0, 0])
/// Fifteen signals, more than the usual room holds.
private let signals =
  words([616, 0, 0, 15])
  + (0..<15).flatMap { longs([$0 * 8, 8]) + words([0, 0, 0, 0]) + longs([0]) }

extension CutReplies {
  /// Every operation that waits for a reply.
  static let all = device + accesses + memory + interrupts + features

  private static let device: [CutReplies] = [
    .init(named: "device info", .plausible),
    .init(named: "reset", .plausible),
    .init(named: "interrupt info", .plausible),
    .init(named: "region", .bytes(region([(0x1000, 0x1000), (0x4000, 0x1000)]), files: 1)),
    .init(named: "signals of a known region", .bytes(words([16, 0, 0, 0]))),
    .init(named: "map a region", .bytes(region([(0, 0x1000)]), files: 1)),
    .init(
      Operation(
        "region in two steps", .deviceGetRegionInfo,
        { (c, t) throws(ClientError) in _ = try c.region(.bar0, timeout: t) },
        { (c, t) async throws in _ = try await c.region(.bar0, timeout: t) }),
      [
        .bytes(words([328, 7, 0, 0, 0x10000, 0, 0, 0]), files: 1),
        .bytes(region((0..<17).map { ($0 * 0x1000, 0x1000) }), files: 1),
      ]),
    .init(
      Operation(
        "signals of a region", .deviceGetRegionInfo,
        { (c, t) throws(ClientError) in
          _ = try c.signals(of: c.region(.bar0, timeout: t), timeout: t)
        },
        { (c, t) async throws in
          let region: Region = try await c.region(.bar0, timeout: t)
          _ = try await c.signals(of: region, timeout: t)
        }),
      [
        .bytes(describedRegion), .bytes(words([616, 0, 0, 15])),
        .init(descriptors: { ReplyDescriptors.events(1) }) { _ in signals },
      ]),
  ]

  private static let accesses: [CutReplies] = [
    .init(named: "load", .plausible),
    .init(named: "store", .plausible),
    .init(named: "read", .plausible),
    .init(named: "write", .plausible),
    .init(
      Operation(
        "read at length in two messages", .regionRead,
        { (c, t) throws(ClientError) in _ = try c.read(.bar0, at: 0, count: 9000, timeout: t) },
        { (c, t) async throws in
          _ = try await c.read(.bar0, at: 0, count: 4500, timeout: t)
          _ = try await c.read(.bar0, at: 4500, count: 4500, timeout: t)
        }),
      [.plausible, .plausible], maxAccess: 4500),
    .init(
      Operation(
        "write in two messages", .regionWrite,
        { (c, t) throws(ClientError) in
          try c.write(.bar0, at: 0, from: [UInt8](repeating: 1, count: 9), timeout: t)
        },
        { (c, t) async throws in
          try await c.write(.bar0, at: 0, from: [UInt8](repeating: 1, count: 9), timeout: t)
        }),
      [.plausible, .plausible], maxAccess: 5),
    .init(
      Operation(
        "post where posting is switched off", .regionWrite,
        { (c, t) throws(ClientError) in try c.post(UInt32(1), .bar0, at: 0, timeout: t) },
        { (c, t) async throws in try await c.post(UInt32(1), .bar0, at: 0, timeout: t) }),
      [.plausible], postsWrites: false),
  ]

  private static let memory: [CutReplies] = [
    .init(named: "map", .plausible),
    .init(named: "transaction", .plausible, .plausible),
    .init(named: "unmap", .plausible),
    .init(named: "unmap all", .plausible),
    .init(
      Operation(
        "map and unmap", .dmaMap,
        { (c, t) throws(ClientError) in
          try c.map(.ofOnePage(), at: 0, size: 4096, timeout: t)
          try c.unmap(at: 0, size: 4096, timeout: t)
        },
        { (c, t) async throws in
          try await c.map(.ofOnePage(), at: 0, size: 4096, timeout: t)
          try await c.unmap(at: 0, size: 4096, timeout: t)
        }),
      [.plausible, .plausible]),
  ]

  private static let interrupts: [CutReplies] = [
    "set a trigger", "set triggers", "set an unmask event", "mask", "mask some", "disable", "bind",
    "bind the pin", "interrupt pin",
  ].map { .init(named: $0, .plausible) }

  private static let features: [CutReplies] = [
    .init(named: "probe a feature", .bytes(words([8, 1 | get | probe]))),
    .init(named: "get a feature", .bytes(words([16, 1 | get, 3, 0]))),
    .init(named: "set a feature", .bytes(words([8, 7 | set]))),
    .init(named: "migration flags", .bytes(words([16, 1 | get, 3, 0]))),
    .init(named: "migration state", .bytes(words([16, 2 | get, 2, 0]))),
    .init(named: "set the migration state", .bytes(words([16, 2 | set, 1, 0]))),
    .init(named: "start DMA logging", .bytes(words([8, 6 | set]))),
    .init(named: "stop DMA logging", .bytes(words([8, 7 | set]))),
    .init(
      named: "dirty pages",
      .bytes(words([64, 8 | get]) + longs([0, 1 << 20, 4096, 1, 2, 3, 4]))),
    .init(
      named: "read migration data",
      .bytes(words([3008, 3000]) + [UInt8](repeating: 7, count: 3000))),
    .init(named: "write migration data", .plausible),
  ]
}
