import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let other = ClientError.implausibleReply
private let get: UInt32 = 1 << 16
private let set: UInt32 = 1 << 17

/// A part of a region that signals.
private func part(
  _ offset: UInt64, _ size: UInt64, descriptor: UInt32, kind: UInt32 = 0
) -> [UInt8] {
  longs([offset, size]) + words([descriptor, kind, 0, 0]) + longs([0])
}

extension `A misbehaving server` {
  static let signals: [ServerMisbehaviour] = [
    .signalling(
      "sends a file for an eventfd", other(.deviceGetRegionIOFDs, ""), descriptors: 1,
      words([56, 0, 0, 1]) + part(0, 4, descriptor: 0)),
    .signalling(
      "signals through a descriptor that did not come", other(.deviceGetRegionIOFDs, ""),
      words([56, 0, 0, 1]) + part(0, 4, descriptor: 0)),
    .signalling(
      "signals outside of the region", other(.deviceGetRegionIOFDs, ""), descriptors: 1,
      words([56, 0, 0, 1]) + part(0xFFF, 2, descriptor: 0, kind: 1)),
    .signalling(
      "signals at an offset that wraps", other(.deviceGetRegionIOFDs, ""), descriptors: 1,
      words([56, 0, 0, 1]) + part(.max, 2, descriptor: 0, kind: 1)),
    .signalling(
      "signals of another region", other(.deviceGetRegionIOFDs, ""), words([16, 0, 3, 0])),
    .signalling(
      "names 2^32 - 1 signals",
      .malformedReply(.deviceGetRegionIOFDs, .truncated(needed: 0, had: 0)),
      words([56, 0, 0, .max]) + part(0, 4, descriptor: 0)),
    .signalling(
      "needs four gigabytes for its signals", other(.deviceGetRegionIOFDs, ""),
      words([.max, 0, 0, 100])),
    .signalling(
      "sends 253 descriptors with signals", other(.deviceGetRegionIOFDs, ""), descriptors: 253,
      words([16, 0, 0, 0])),
    .signalling(
      "sets flags in the answer for signals",
      .malformedReply(.deviceGetRegionIOFDs, .mustBeZero(field: "flags", value: 1)),
      words([16, 1, 0, 0])),
  ]

  static let features: [ServerMisbehaviour] = [
    .replying(
      "gets another feature", .feature, other(.deviceFeature, ""), like: true,
      words([16, 1 | get, 2, 0])),
    .replying(
      "sets what was to be got", .feature, other(.deviceFeature, ""), like: true,
      words([16, 2 | set, 2, 0])),
    .replying(
      "does everything with a feature at once", .feature,
      .malformedReply(.deviceFeature, .truncated(needed: 0, had: 0)), like: true,
      words([16, 2 | get | set, 2, 0])),
    .replying(
      "answers a feature with nothing", .feature,
      .malformedReply(.deviceFeature, .truncated(needed: 8, had: 0)), []),
    .replying(
      "answers a feature with half of it", .feature,
      .malformedReply(.deviceFeature, .truncated(needed: 8, had: 4)), words([16, 2 | get, 2])),
    .replying(
      "answers a feature at length", .feature, other(.deviceFeature, ""), like: true,
      words([20, 2 | get, 2, 0, 0])),
    .replying(
      "sends descriptors with a feature", .feature, other(.deviceFeature, ""), like: true,
      descriptors: 2, words([16, 2 | get, 2, 0])),
    .replying(
      "reports too few pages", .dirtyPages,
      .malformedReply(.deviceFeature, .truncated(needed: 56, had: 48)),
      words([56, 8 | get]) + longs([0, 1 << 20, 4096, 1, 2, 3])),
    .replying(
      "reports too many pages", .dirtyPages, other(.deviceFeature, ""), like: true,
      words([72, 8 | get]) + longs([0, 1 << 20, 4096, 1, 2, 3, 4, 5])),
    .replying(
      "reports pages of nothing", .dirtyPages,
      .malformedReply(.deviceFeature, .notAPowerOfTwo(field: "page_size", value: 0)),
      words([64, 8 | get]) + longs([0, 1 << 20, 0, 1, 2, 3, 4])),
    .replying(
      "reports pages of another size", .dirtyPages, other(.deviceFeature, ""), like: true,
      words([64, 8 | get]) + longs([0, 1 << 20, 1, 1, 2, 3, 4])),
    .replying(
      "reports another range", .dirtyPages, other(.deviceFeature, ""), like: true,
      words([64, 8 | get]) + longs([4096, 1 << 20, 4096, 1, 2, 3, 4])),
    .replying(
      "says more data than it sends", .migrationRead,
      .malformedReply(.migrationDataRead, .truncated(needed: 24, had: 16)),
      words([24, 16]) + longs([1])),
    .replying(
      "says 2^32 - 1 bytes of data", .migrationRead,
      .malformedReply(.migrationDataRead, .truncated(needed: 0, had: 0)), like: true,
      words([16, .max]) + longs([1])),
    .replying(
      "sends more data than was asked for", .migrationRead, other(.migrationDataRead, ""),
      like: true, words([73, 65]) + [UInt8](repeating: 1, count: 65)),
    .replying(
      "answers written data at length", .migrationWrite, other(.migrationDataWrite, ""),
      like: true, [UInt8](repeating: 1, count: 65)),
    .replying(
      "lets a file be mapped that is too short", .mapRegion, .unmappable(.bar0, ""), like: true,
      descriptors: 1, region([(0x1000, 0x1000)])),
    .replying(
      "lets overlapping areas be mapped", .mapRegion, .unmappable(.bar0, ""), like: true,
      descriptors: 1, region([(0, 0x2000), (0x1000, 0x1000)])),
    .replying(
      "lets half a page be mapped", .mapRegion, .unmappable(.bar0, ""), like: true,
      descriptors: 1, region([(0, 0x800)])),
  ]
}
