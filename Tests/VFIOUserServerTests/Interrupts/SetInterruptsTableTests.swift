import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// One SET_IRQS and what the server says to it.
struct SetIRQs: CustomTestStringConvertible, Sendable {
  let index: UInt32
  let flags: UInt32
  let start: UInt32
  let count: UInt32
  let booleans: [UInt8]
  let eventfds: Int
  let errno: Errno?

  init(
    _ index: UInt32, _ flags: UInt32, _ start: UInt32, _ count: UInt32, booleans: [UInt8] = [],
    eventfds: Int = 0, _ errno: Errno?
  ) {
    self.index = index
    self.flags = flags
    self.start = start
    self.count = count
    self.booleans = booleans
    self.eventfds = eventfds
    self.errno = errno
  }

  var testDescription: String {
    let flags = String(flags, radix: 2)
    return "index \(index) flags \(flags) range \(start)+\(count) with \(booleans) and "
      + "\(eventfds) eventfds: \(errno.map { "\($0)" } ?? "yes")"
  }

  var message: [UInt8] {
    TestSupport.message(
      .deviceSetIRQs,
      words([UInt32(20 + booleans.count), flags, index, start, count]) + booleans)
  }
}

private let none: UInt32 = 0b001
private let bool: UInt32 = 0b010
private let event: UInt32 = 0b100
private let mask: UInt32 = 0b001_000
private let unmask: UInt32 = 0b010_000
private let trigger: UInt32 = 0b100_000

@Suite struct `SET_IRQS` {
  /// How many there are of INTx, MSI, MSI-X, ERR and REQ.
  static let counts: [UInt32] = [1, 8, 96, 1, 1]

  /// Every kind of data with every action, for every index: the last vector, one behind it, and a
  /// range that wraps.
  static let combinations: [SetIRQs] = (0..<5).flatMap { (index: UInt32) -> [SetIRQs] in
    [none, bool, event].flatMap { (data: UInt32) -> [SetIRQs] in
      [mask, unmask, trigger].flatMap { action in ranges(index, data, action) }
    }
  }

  static func ranges(_ index: UInt32, _ data: UInt32, _ action: UInt32) -> [SetIRQs] {
    let last = counts[Int(index)] - 1
    let flags = data | action
    let isPossible =
      action == trigger || (data == event ? index == 0 && action == unmask : index < 3)
    let (booleans, eventfds) = (data == bool ? [UInt8(1)] : [], data == event ? 1 : 0)
    return [
      SetIRQs(
        index, flags, last, 1, booleans: booleans, eventfds: eventfds,
        isPossible ? nil : .notSupported),
      SetIRQs(
        index, flags, last + 1, 1, booleans: booleans, eventfds: eventfds, .invalidArgument),
      SetIRQs(
        index, flags, last, 2, booleans: booleans + booleans, eventfds: 2 * eventfds,
        .invalidArgument),
      SetIRQs(index, flags, .max, 1, booleans: booleans, eventfds: eventfds, .invalidArgument),
      SetIRQs(
        index, flags, .max - 1, 3, booleans: booleans + booleans + booleans,
        eventfds: 3 * eventfds, .invalidArgument),
      // Nothing is only good for switching all off.
      SetIRQs(index, flags, 0, 0, flags == none | trigger ? nil : .invalidArgument),
      SetIRQs(index, flags, 1, 0, .invalidArgument),
    ]
  }

  static let others: [SetIRQs] = [
    // One eventfd for each vector, or none at all.
    SetIRQs(2, event | trigger, 0, 16, eventfds: 16, nil),
    SetIRQs(2, event | trigger, 80, 16, eventfds: 16, nil),
    SetIRQs(2, event | trigger, 81, 16, eventfds: 16, .invalidArgument),
    SetIRQs(2, event | trigger, 0, 96, nil),
    SetIRQs(2, event | trigger, 0, 97, .invalidArgument),
    SetIRQs(2, event | trigger, 0, 4, eventfds: 3, .invalidArgument),
    SetIRQs(2, event | trigger, 0, 4, eventfds: 5, .invalidArgument),
    SetIRQs(2, event | trigger, 0, 96, eventfds: 16, .invalidArgument),
    SetIRQs(0, event | unmask, 0, 1, nil),
    SetIRQs(0, event | unmask, 0, 1, eventfds: 2, .invalidArgument),
    // Descriptors where none are wanted are closed.
    SetIRQs(2, none | trigger, 0, 1, eventfds: 1, nil),
    SetIRQs(2, bool | trigger, 0, 1, booleans: [1], eventfds: 1, nil),
    SetIRQs(2, none | trigger, 0, 0, eventfds: 1, nil),
    // Booleans of any value, as many as vectors.
    SetIRQs(2, bool | mask, 90, 3, booleans: [0, 255, 2], nil),
    SetIRQs(2, bool | mask, 90, 3, booleans: [0, 255], .invalidArgument),
    SetIRQs(2, bool | mask, 90, 3, booleans: [0, 255, 2, 1], .invalidArgument),
    SetIRQs(2, none | mask, 90, 1, booleans: [0], .invalidArgument),
    SetIRQs(2, bool | mask, 0, .max, booleans: [1], .invalidArgument),
    // Flags.
    SetIRQs(2, none, 0, 1, .invalidArgument),
    SetIRQs(2, trigger, 0, 1, .invalidArgument),
    SetIRQs(2, none | bool | trigger, 0, 1, booleans: [1], .invalidArgument),
    SetIRQs(2, none | mask | unmask, 0, 1, .invalidArgument),
    SetIRQs(2, none | trigger | 64, 0, 1, .invalidArgument),
    // An index that is not there.
    SetIRQs(5, none | trigger, 0, 1, .invalidArgument),
    SetIRQs(5, none | trigger, 0, 0, .invalidArgument),
    SetIRQs(.max, none | trigger, 0, 0, .invalidArgument),
  ]

  @Test(arguments: combinations + others)
  func `SET_IRQS executes each valid combination and refuses each other one with its errno`(
    _ request: SetIRQs
  ) throws {
    let peer = try Bench().peer()
    var descriptors = DescriptorList()
    for counter in try counters(request.eventfds) {
      descriptors.append(try counter.descriptor.duplicate())
    }
    let answer = try peer.ask(request.message, descriptors: descriptors)
    #expect(answer.errno == request.errno.map { UInt32($0.rawValue) })
    #expect(answer.header.size == 16)
    #expect(try peer.ask(message(.deviceGetInfo, words([16, 0, 0, 0]))).errno == nil)
  }

  @Test func `SET_IRQS refuses a descriptor that is not an eventfd and changes nothing`() throws {
    let bench = try Bench()
    let peer = try bench.peer()
    let good = try counters(2)
    var descriptors = DescriptorList()
    for counter in good { descriptors.append(try counter.descriptor.duplicate()) }
    let request = SetIRQs(2, event | trigger, 0, 2, nil).message
    #expect(try peer.ask(request, descriptors: descriptors).errno == nil)
    var bad = DescriptorList()
    bad.append(try EventFD().descriptor.duplicate())
    bad.append(taggedDescriptor(4096))
    #expect(try peer.ask(request, descriptors: bad).errno == UInt32(Errno.invalidArgument.rawValue))
    try bench.device.signal(.msix, 0)
    #expect(good[0].take() == 1)
  }

  @Test func `GET_IRQ_INFO reports count and flags of each interrupt index`() throws {
    let client = try Bench().client()
    let expected: [(InterruptIndex, UInt32, InterruptFlags)] = [
      (.intx, 1, [.eventDescriptors, .maskable, .autoMasked]),
      (.msi, 8, [.eventDescriptors, .maskable, .noResize]),
      (.msix, 96, [.eventDescriptors, .maskable]),
      (.err, 1, [.eventDescriptors, .noResize]),
      (.req, 1, [.eventDescriptors, .noResize]),
    ]
    for (index, count, flags) in expected {
      let info = try client.interruptInfo(index)
      #expect(info.count == count)
      #expect(info.flags == flags)
    }
  }

  @Test func `SET_IRQS leaves no descriptor open, whether it succeeds or fails`() async {
    await #expect(processExitsWith: .success) { try checkThatSetIRQsLeavesNothing() }
  }
}

private func checkThatSetIRQsLeavesNothing() throws {
  let bench = try Bench()
  let before = settledDescriptors()
  for request in `SET_IRQS`.combinations + `SET_IRQS`.others {
    let peer = try bench.peer()
    var descriptors = DescriptorList()
    for counter in try counters(request.eventfds) {
      descriptors.append(try counter.descriptor.duplicate())
    }
    _ = try peer.ask(request.message, descriptors: descriptors)
  }
  #expect(eventually { openDescriptors() == before })
}
