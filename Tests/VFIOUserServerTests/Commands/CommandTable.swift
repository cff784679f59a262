import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A command to a device of one of everything, and what the server says.
struct CommandCase: CustomTestStringConvertible, Sendable {
  enum Answer: Equatable, Sendable {
    /// A reply whose payload has so many bytes.
    case bytes(Int)
    case refused(Errno)
  }

  /// What comes along with the message.
  enum Luggage: Equatable, Sendable {
    case nothing
    case memory(Int)
    case counters(Int)
    case pipe
  }

  let command: Command
  let what: String
  let payload: [UInt8]
  let luggage: Luggage
  /// Messages before it, which all succeed.
  let before: [[UInt8]]
  let answer: Answer

  init(
    _ command: Command, _ what: String, _ payload: [UInt8], luggage: Luggage = .nothing,
    after before: [[UInt8]] = [], _ answer: Answer
  ) {
    self.command = command
    self.what = what
    self.payload = payload
    self.luggage = luggage
    self.before = before
    self.answer = answer
  }

  var testDescription: String { "\(command): \(what)" }

  func message(_ flags: MessageFlags = []) -> [UInt8] {
    TestSupport.message(command, id: 0x1234, flags: flags, payload)
  }

  /// Whether it changes something: what is refused does not, but for the writes in front of the one that
  /// was refused.
  var hasEffects: Bool {
    let changing: [Command] = [
      .dmaMap, .dmaUnmap, .deviceSetIRQs, .regionWrite, .regionWriteMulti, .deviceReset,
    ]
    if case .refused = answer { return what == "the second to the ROM" }
    if command == .deviceFeature { return what == "set" }
    return changing.contains(command) && what != "everything, of nothing"
  }

  /// The eventfds that come along, to be looked at afterwards.
  func luggageKept() throws -> [EventFD] {
    if case .counters(let count) = luggage { try counters(count) } else { [] }
  }

  /// What comes along, with these eventfds.
  func descriptors(_ kept: [EventFD]) throws -> DescriptorList {
    guard case .counters = luggage else { return try descriptors() }
    var list = DescriptorList()
    for counter in kept { list.append(try counter.descriptor.duplicate()) }
    return list
  }

  func descriptors() throws -> DescriptorList {
    var list = DescriptorList()
    switch luggage {
    case .nothing: break
    case .memory(let count): for _ in 0..<count { list.append(taggedDescriptor(0x10000)) }
    case .counters(let count):
      for _ in 0..<count { list.append(try EventFD().descriptor.duplicate()) }
    case .pipe: list.append(try MessageSocket.pair().0.descriptor.duplicate())
    }
    return list
  }
}

func longs(_ longs: UInt64...) -> [UInt8] {
  longs.flatMap { long in (0..<8).map { UInt8(truncatingIfNeeded: long >> (8 * UInt64($0))) } }
}

private func access(_ offset: UInt64, _ region: UInt32, _ count: UInt32, _ data: [UInt8] = [])
  -> [UInt8]
{
  bytes(of: RegionAccess(offset: offset, region: RegionIndex(rawValue: region), count: count))
    + data
}

private func map(_ address: UInt64, _ size: UInt64, offset: UInt64 = 0, flags: UInt32 = 3)
  -> [UInt8]
{
  words([32, flags]) + longs(offset, address, size)
}

private func unmap(_ address: UInt64, _ size: UInt64, flags: UInt32 = 0) -> [UInt8] {
  words([24, flags]) + longs(address, size)
}

extension CommandCase {
  static let all: [CommandCase] =
    version + memory + information + interrupts + regions + features + others

  static let version: [CommandCase] = [
    .init(.version, "a second time", [0, 0, 1, 0], .refused(.invalidArgument))
  ]

  private static let mapped = TestSupport.message(.dmaMap, map(0x10000, 0x10000))

  static let memory: [CommandCase] = [
    .init(.dmaMap, "a window for messages", map(0, 4096), .bytes(0)),
    .init(.dmaMap, "a window with memory", map(0, 4096), luggage: .memory(1), .bytes(0)),
    .init(
      .dmaMap, "the last page of its file", map(0, 4096, offset: 0xF000), luggage: .memory(1),
      .bytes(0)),
    .init(
      .dmaMap, "behind its file", map(0, 4096, offset: 0x10000), luggage: .memory(1),
      .refused(.invalidArgument)),
    .init(
      .dmaMap, "half a page", map(0, 2048), luggage: .memory(1), .refused(.invalidArgument)),
    .init(.dmaMap, "nothing", map(0, 0), .refused(.invalidArgument)),
    .init(.dmaMap, "neither to read nor to write", map(0, 1, flags: 0), .refused(.invalidArgument)),
    .init(.dmaMap, "with an unknown flag", map(0, 1, flags: 0x13), .refused(.invalidArgument)),
    .init(.dmaMap, "past 2^64", map(.max, 2), .refused(.invalidArgument)),
    .init(.dmaMap, "with two files", map(0, 4096), luggage: .memory(2), .bytes(0)),
    .init(
      .dmaMap, "what is no memory", map(0, 4096), luggage: .pipe,
      .refused(.notSupported)),
    .init(.dmaMap, "twice", map(0x10000, 0x10000), after: [mapped], .refused(.fileExists)),
    .init(.dmaMap, "over another", map(0x1FFFF, 1), after: [mapped], .refused(.fileExists)),
    .init(
      .dmaMap, "one window too many", map(0, 4096),
      after: (1...8 as ClosedRange<UInt64>).map { TestSupport.message(.dmaMap, map($0 << 20, 1)) },
      .refused(.noSpace)),
    .init(.dmaMap, "cut short", Array(map(0, 4096).dropLast()), .refused(.invalidArgument)),
    .init(.dmaUnmap, "what is there", unmap(0x10000, 0x10000), after: [mapped], .bytes(24)),
    .init(.dmaUnmap, "everything", unmap(0, 0, flags: 2), after: [mapped], .bytes(24)),
    .init(.dmaUnmap, "everything, of nothing", unmap(0, 0, flags: 2), .bytes(24)),
    .init(
      .dmaUnmap, "everything at an address", unmap(1, 0, flags: 2), .refused(.invalidArgument)),
    .init(
      .dmaUnmap, "a part", unmap(0x10000, 0x8000), after: [mapped],
      .refused(.noSuchFileOrDirectory)),
    .init(.dmaUnmap, "what is not there", unmap(0, 4096), .refused(.noSuchFileOrDirectory)),
    .init(.dmaUnmap, "with its dirty pages", unmap(0, 4096, flags: 1), .refused(.notSupported)),
    .init(.dmaUnmap, "with an unknown flag", unmap(0, 1, flags: 4), .refused(.invalidArgument)),
    .init(.dmaUnmap, "cut short", [24, 0, 0, 0], .refused(.invalidArgument)),
    // SPDK's initiator does that.
    .init(
      .dmaUnmap, "with a descriptor", unmap(0x10000, 0x10000), luggage: .memory(1), after: [mapped],
      .bytes(24)),
  ]

  static let information: [CommandCase] = [
    .init(.deviceGetInfo, "as QEMU does", words([16, 0, 0, 0]), .bytes(16)),
    .init(.deviceGetInfo, "with room to spare", words([4096, 0, 0, 0]), .bytes(16)),
    .init(
      .deviceGetInfo, "with too little room", words([15, 0, 0, 0]), .refused(.invalidArgument)),
    .init(.deviceGetInfo, "without a payload", [], .refused(.invalidArgument)),
    .init(.deviceGetRegionInfo, "of BAR4", words([32, 0, 4, 0, 0, 0, 0, 0]), .bytes(32)),
    .init(
      .deviceGetRegionInfo, "of the first that is not there", words([32, 0, 10, 0, 0, 0, 0, 0]),
      .refused(.invalidArgument)),
    .init(
      .deviceGetRegionInfo, "with too little room", words([31, 0, 0, 0, 0, 0, 0, 0]),
      .refused(.invalidArgument)),
    .init(.deviceGetRegionIOFDs, "of BAR0", words([4096, 0, 0, 0]), .bytes(16 + 3 * 40)),
    .init(.deviceGetRegionIOFDs, "of BAR1, without any", words([4096, 0, 1, 0]), .bytes(16)),
    .init(
      .deviceGetRegionIOFDs, "of a region that is not there", words([4096, 0, 99, 0]),
      .refused(.invalidArgument)),
    .init(.deviceGetIRQInfo, "of MSI-X", words([16, 0, 2, 0]), .bytes(16)),
    .init(
      .deviceGetIRQInfo, "of a type that is not there", words([16, 0, 5, 0]),
      .refused(.invalidArgument)),
    .init(.deviceGetIRQInfo, "cut short", words([16, 0, 2]), .refused(.invalidArgument)),
  ]

  static let interrupts: [CommandCase] = [
    .init(
      .deviceSetIRQs, "two eventfds", words([20, 0x24, 2, 0, 2]), luggage: .counters(2), .bytes(0)),
    .init(.deviceSetIRQs, "none for two vectors", words([20, 0x24, 2, 0, 2]), .bytes(0)),
    .init(.deviceSetIRQs, "triggered", words([20, 0x21, 2, 0, 2]), .bytes(0)),
    .init(
      .deviceSetIRQs, "one masked, one not", words([22, 0x0A, 2, 0, 2]) + [1, 0], .bytes(0)),
    .init(.deviceSetIRQs, "switched off", words([20, 0x21, 2, 0, 0]), .bytes(0)),
    .init(
      .deviceSetIRQs, "a mask eventfd", words([20, 0x0C, 0, 0, 1]), luggage: .counters(1),
      .refused(.notSupported)),
    .init(.deviceSetIRQs, "ERR masked", words([20, 0x09, 3, 0, 1]), .refused(.notSupported)),
    .init(
      .deviceSetIRQs, "a file for an eventfd", words([20, 0x24, 2, 0, 1]), luggage: .memory(1),
      .refused(.invalidArgument)),
    .init(
      .deviceSetIRQs, "an eventfd too few", words([20, 0x24, 2, 0, 2]), luggage: .counters(1),
      .refused(.invalidArgument)),
    .init(
      .deviceSetIRQs, "one vector too many", words([20, 0x21, 2, 96, 1]),
      .refused(.invalidArgument)),
    .init(.deviceSetIRQs, "cut short", words([20, 0x21, 2, 0]), .refused(.invalidArgument)),
  ]

  static let regions: [CommandCase] = [
    .init(.regionRead, "four bytes", access(0, 0, 4), .bytes(20)),
    .init(.regionRead, "nothing", access(0, 0, 0), .bytes(16)),
    .init(.regionRead, "all of configuration space", access(0, 7, 4096), .bytes(16 + 4096)),
    .init(.regionRead, "across memory and device", access(0xFFF, 0, 0x3000), .bytes(16 + 0x3000)),
    .init(.regionRead, "as much as a client is told", access(0, 2, 0x8000), .bytes(16 + 0x8000)),
    .init(.regionRead, "a byte more than that", access(0, 2, 0x8001), .refused(.argListTooLong)),
    .init(
      .regionWrite, "a byte more than that",
      access(0, 2, 0x8001, [UInt8](repeating: 1, count: 0x8001)), .refused(.argListTooLong)),
    .init(
      .regionRead, "more than that, behind its end", access(0x10000, 0, 0x8001),
      .refused(.invalidArgument)),
    .init(.regionRead, "a byte behind its end", access(256, 1, 1), .refused(.invalidArgument)),
    .init(.regionRead, "a BAR that is not there", access(0, 3, 1), .refused(.invalidArgument)),
    .init(.regionRead, "what the device denies", access(3, 5, 1), .refused(.permissionDenied)),
    .init(.regionRead, "cut short", [0], .refused(.invalidArgument)),
    .init(.regionWrite, "four bytes", access(0, 0, 4, [1, 2, 3, 4]), .bytes(16)),
    .init(.regionWrite, "a byte of configuration space", access(4, 7, 1, [4]), .bytes(16)),
    .init(
      .regionWrite, "a byte less than it says", access(0, 0, 4, [1, 2, 3]),
      .refused(.invalidArgument)),
    .init(.regionWrite, "the ROM", access(0, 6, 1, [1]), .refused(.notPermitted)),
    .init(
      .regionWrite, "what the device denies", access(3, 5, 1, [0]), .refused(.permissionDenied)),
    .init(
      .regionWrite, "behind its end", access(.max, 0, 1, [0]), .refused(.invalidArgument)),
    .init(
      .regionWriteMulti, "two", longs(2) + access(0, 0, 4) + longs(1) + access(4, 0, 8) + longs(2),
      .bytes(8)),
    .init(
      .regionWriteMulti, "the second to the ROM",
      longs(2) + access(0, 0, 4) + longs(1) + access(4, 6, 8) + longs(2),
      .refused(.notPermitted)),
    .init(.regionWriteMulti, "2^61 of them", longs(1 << 61), .refused(.invalidArgument)),
    .init(.regionWriteMulti, "cut short", [1, 0, 0], .refused(.invalidArgument)),
  ]

  static let features: [CommandCase] = [
    .init(.deviceFeature, "got", words([16, 77 | 1 << 16]), .bytes(16)),
    .init(.deviceFeature, "set", words([16, 77 | 1 << 17]) + longs(5), .bytes(16)),
    .init(.deviceFeature, "probed", words([8, 77 | 7 << 16]), .bytes(8)),
    .init(
      .deviceFeature, "got, larger than a message", words([.max, 79 | 1 << 16]),
      .refused(.argListTooLong)),
    .init(.deviceFeature, "unknown", words([8, 76 | 5 << 16]), .refused(.notSupported)),
    .init(.deviceFeature, "neither got nor set", words([8, 77]), .refused(.invalidArgument)),
    .init(.deviceFeature, "got by half", words([12, 77 | 1 << 16]), .refused(.invalidArgument)),
    .init(.deviceFeature, "cut short", words([8]), .refused(.invalidArgument)),
  ]

  static let others: [CommandCase] = [
    .init(.deviceReset, "as it should be", [], .bytes(0)),
    .init(.deviceReset, "with a payload", [0], .refused(.invalidArgument)),
    .init(.dirtyPages, "which is history", words([8, 0]), .refused(.notSupported)),
    .init(.migrationDataRead, "of a device that cannot", words([8, 16]), .refused(.notSupported)),
    .init(
      .migrationDataWrite, "to a device that cannot", words([8, 0]), .refused(.notSupported)),
    .init(.dmaRead, "which is the server's", longs(0, 4), .refused(.noFunction)),
    .init(.dmaWrite, "which is the server's", longs(0, 0), .refused(.noFunction)),
    .init(Command(rawValue: 0), "which is none", [], .refused(.noFunction)),
    .init(Command(rawValue: 19), "which is none yet", [], .refused(.noFunction)),
    .init(Command(rawValue: .max), "which is the last", [], .refused(.noFunction)),
  ]
}
