import CLinux
import Testing

@testable import VFIOUserProgram

/// Runs a filter as the kernel does.
private func run(
  _ filter: SystemCallFilter, _ number: UInt32, _ arguments: [UInt64] = [],
  architecture: UInt32 = 0xC000_003E
) throws -> UInt32 {
  let words = (arguments + Array(repeating: 0, count: 6)).prefix(6).flatMap {
    [UInt32(truncatingIfNeeded: $0), UInt32($0 >> 32)]
  }
  let data = [number, architecture, 0, 0] + words
  var (place, value) = (0, UInt32(0))
  while true {
    let one = try #require(
      filter.instructions.indices.contains(place) ? filter.instructions[place] : nil)
    place += 1
    switch one.code {
    case 0x20: value = data[Int(one.value / 4)]
    case 0x54: value &= one.value
    case 0x15: place += Int(value == one.value ? one.jump_if_true : one.jump_if_false)
    case 0x35: place += Int(value >= one.value ? one.jump_if_true : one.jump_if_false)
    case 0x05: place += Int(one.value)
    default: return one.value
    }
  }
}

@Suite struct `A filter of system calls` {
  private typealias Action = SystemCallFilter.Action
  private let all = SystemCallFilter(
    SystemCallPolicy.base + SystemCallPolicy.adding + SystemCallPolicy.connectingByPath
      + SystemCallPolicy.connectingByTCP)

  @Test func `lets exactly the calls of its list through`() throws {
    let calls: [SystemCall] = [.read, .close, .futex, .statx]
    let filter = SystemCallFilter(calls.map { SystemCallRule($0) })
    #expect(filter.count == 4)
    for number in 0..<SystemCallFilter.firstUnknown {
      let isAllowed = calls.contains { $0.number == number }
      #expect(try run(filter, number) == (isAllowed ? Action.allow : Action.trap), "\(number)")
    }
    #expect(try run(filter, SystemCallFilter.firstUnknown) == Action.missing)
    #expect(try run(SystemCallFilter([]), 0) == Action.trap)
  }

  @Test func `ends a process that calls by another interface`() throws {
    #expect(try run(all, SystemCall.read.number, architecture: 0x4000_0003) == Action.kill)
    #expect(try run(all, 0x4000_0000 | SystemCall.read.number) == Action.kill)
  }

  @Test func `looks at arguments, of pointers at both halves`() throws {
    let cases: [(SystemCall, [UInt64], UInt32)] = [
      (.sendto, [3, 1, 1, 0, 0], Action.allow),
      (.sendto, [3, 1, 1, 0, 1 << 32], Action.trap),
      (.prlimit64, [0, 7, 0], Action.allow), (.prlimit64, [0, 7, 1 << 40], Action.trap),
      (.clone, [0x3D0F00], Action.allow), (.clone, [17], Action.trap),
      (.clone, [0x3D0F00 | 0x1000_0000], Action.trap), (.clone3, [], Action.missing),
      (.socketpair, [1, 1 | 0o2000000], Action.allow), (.socketpair, [1, 2], Action.trap),
      (.mmap, [0, 1, 3, 0x22], Action.allow), (.mmap, [0, 1, 5, 2], Action.allow),
      (.mmap, [0, 1, 7, 2], Action.trap), (.mmap, [0, 1, 5, 0x22], Action.trap),
      (.fcntl, [0, 1030], Action.allow), (.fcntl, [0, 8], Action.trap),
      // Bits that the kernel does not look at do not make another argument of it.
      (.fcntl, [0, 1 << 32 | 1030], Action.allow),
      (.ioctl, [0, 0x5412], Action.trap),
      (.socket, [1, 1], Action.allow), (.socket, [2, 1], Action.allow),
      (.socket, [16, 3], Action.trap),
      (.ioUringSetup, [], Action.refuse), (.ioUringRegister, [0, 4], Action.allow),
      (.ioUringRegister, [0, 2], Action.trap),
    ]
    for (call, arguments, action) in cases {
      #expect(try run(all, call.number, arguments) == action, "\(call.name) \(arguments)")
    }
  }

  @Test func `knows the protocol of a socket, and messages that connect`() throws {
    let fastOpen: UInt64 = 0x2000_0000
    let tcp = SystemCallFilter(SystemCallPolicy.base + SystemCallPolicy.connectingByTCP)
    let names = SystemCallFilter(
      SystemCallPolicy.base + SystemCallPolicy.connectingByTCP + SystemCallPolicy.lookingUp)
    for family: UInt64 in [2, 10] {
      for filter in [tcp, names] {
        #expect(try run(filter, 41, [family, 1 | 0o2000000, 0]) == Action.allow)
        #expect(try run(filter, 41, [family, 1, 6]) == Action.allow)
        // SCTP, SMC, MPTCP.
        for other: UInt64 in [132, 256, 262] {
          #expect(try run(filter, 41, [family, 1, other]) == Action.trap, "\(other)")
        }
      }
      #expect(try run(tcp, 41, [family, 2, 0]) == Action.trap)
      #expect(
        try [0, 17, 136].map { try run(names, 41, [family, 2, $0]) } == [
          Action.allow, Action.allow, Action.trap,
        ])
    }
    let messages: [(SystemCall, Int)] = [(.sendmsg, 2), (.sendto, 3), (.sendmmsg, 3)]
    for (call, place) in messages {
      var arguments = [UInt64](repeating: 0, count: 4)
      #expect(try run(names, call.number, arguments) == Action.allow, "\(call.name)")
      arguments[place] = fastOpen | 0x4000
      #expect(try run(names, call.number, arguments) == Action.trap, "\(call.name)")
    }
    #expect(try run(tcp, SystemCall.sendmsg.number, [0, 0, fastOpen]) == Action.trap)
  }

  @Test func `connects to UNIX sockets only for a server that has one`() throws {
    let tcp = SystemCallPolicy.base + SystemCallPolicy.connectingByTCP
    let unix: [UInt64] = [1, 1, 0]
    #expect(try run(SystemCallFilter(tcp), 41, unix) == Action.trap)
    // The C library's cache of names: refused, and not said.
    let names = tcp + SystemCallPolicy.lookingUp
    #expect(try run(SystemCallFilter(names), 41, unix) == Action.refuse)
    #expect(
      try run(SystemCallFilter(names + SystemCallPolicy.connectingByPath), 41, unix)
        == Action.allow)
  }

  @Test func `changes no mode by path for devices that are added`() throws {
    for number: UInt32 in [90 /* chmod */, 268 /* fchmodat */, 452 /* fchmodat2 */] {
      #expect(try run(all, number) == Action.trap)
    }
    #expect(try run(all, SystemCall.fchmod.number) == Action.allow)
  }

  @Test func `takes the wider of two rules for one call`() throws {
    let narrow = SystemCallRule.oneOf(.ioctl, 1, [1])
    let more = SystemCallRule.oneOf(.ioctl, 1, [2])
    let both = SystemCallFilter([narrow, more])
    #expect(
      try [1, 2, 3].map { try run(both, 16, [0, $0]) } == [Action.allow, Action.allow, Action.trap])
    for rules in [[narrow, SystemCallRule(.ioctl)], [SystemCallRule(.ioctl), narrow]] {
      #expect(try run(SystemCallFilter(rules), 16, [0, 3]) == Action.allow)
    }
  }
}
