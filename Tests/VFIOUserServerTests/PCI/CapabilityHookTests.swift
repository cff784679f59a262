import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// What a device's hooks were told.
private final class Mailbox: Sendable {
  struct State {
    var reads: [String] = []
    var writes: [Register.Write] = []
    var bus: DeviceContext?
    var progress: UInt64 = 0x3130
  }

  let state = Monitor(State())

  /// A register that is read as what the device says at that moment.
  func computed(_ name: String, at offset: UInt64, _ width: Register.Width) -> Register {
    Register(
      name, at: offset, width,
      onRead: { [state] _ in
        state.withLock { state in
          state.reads.append(name)
          return state.progress
        }
      })
  }

  /// Takes requests 0 to 7, turns 7 into 1, and answers in another register.
  func request(at offset: UInt64) -> Register {
    Register(
      "request", at: offset, .bits16, reset: 5, writable: 0xFFFF,
      restrict: { $0.value == 7 ? 1 : $0.value < 8 ? $0.value : $0.previous },
      onWrite: { [state] write in
        let bus = state.withLock { state in
          state.writes.append(write)
          return state.bus
        }
        bus?.updateConfiguration("answer") { $0 = 0xA0A0_0000 | write.value }
      })
  }

  /// The vendor-specific capability is at 0x40 and the extended one at 0x100.
  var description: PCIDescription {
    var description = PCIDescription(
      identity: PCIIdentity(
        vendor: 1, device: 2, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)))
    description.capabilities = [
      .vendorSpecific(
        VendorSpecific(
          size: 16,
          registers: [
            Register("version", at: 3, .bits8, reset: 0x21), request(at: 4),
            computed("progress", at: 6, .bits16), Register("answer", at: 8, .bits32),
          ])),
      .otherRegisters(id: 0x42, size: 4, [Register("plain", at: 2, .bits16, writable: 0xF0F0)]),
    ]
    description.extendedCapabilities = [
      .vendorSpecificRegisters(
        id: 0xABCD, revision: 2, size: 16,
        [computed("wide", at: 8, .bits32), Register("events", at: 12, .bits32, clearedByOne: 0xFF)]),
      .otherRegisters(id: 9, version: 3, size: 8, [Register("last", at: 4, .bits32, reset: 77)]),
    ]
    return description
  }
}

@Suite struct `A capability with hooks` {
  private let mailbox = Mailbox()
  private let bench: Bench
  private let client: Client

  init() throws {
    bench = try Bench(FullDevice(mailbox.description))
    client = try bench.client()
    let bus = try bench.device.bus
    mailbox.state.withLock { $0.bus = bus }
  }

  private func read(_ offset: Int, _ count: Int) throws -> [UInt8] {
    try client.read(.configuration, at: UInt64(offset), count: count)
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws {
    try client.write(.configuration, at: UInt64(offset), from: bytes)
  }

  @Test func `A capability with hooks is laid out like any other capability`() throws {
    #expect(try read(0x40, 16) == [9, 0x50, 16, 0x21, 5, 0, 0x30, 0x31, 0, 0, 0, 0, 0, 0, 0, 0])
    #expect(try read(0x50, 4) == [0x42, 0, 0, 0])
    #expect(try read(0x100, 8) == [0x0B, 0, 1, 0x11, 0xCD, 0xAB, 2, 1])
    #expect(try read(0x110, 8) == [9, 0, 3, 0, 77, 0, 0, 0])
  }

  /// Every access that begins before, in and behind the hooks, of every width that there is.
  @Test(arguments: [1, 2, 3, 4, 7, 8, 256, 4096])
  func `A capability with hooks computes each register once per read of any width`(width: Int)
    throws
  {
    let whole = try read(0, 4096)
    for start in width == 4096 ? 0..<1 : 0x3A..<0x4C where start + width <= 4096 {
      mailbox.state.withLock { $0.reads = [] }
      #expect(try read(start, width) == Array(whole[start..<start + width]))
      let reads = mailbox.state.withLock { $0.reads }
      // Once for each register that the access touches, and for no other.
      let touched = start < 0x48 && start + width > 0x46
      #expect(reads.count { $0 == "progress" } == (touched ? 1 : 0), "at \(start)")
      #expect(reads.count { $0 == "wide" } == (start + width > 0x108 ? 1 : 0), "at \(start)")
    }
    mailbox.state.withLock { $0.progress = 0xBEEF }
    #expect(try read(0x46, 2) == [0xEF, 0xBE])
  }

  @Test(arguments: [1, 2, 3, 7, 256, 4096])
  func `Each write hook of a capability gets only its own bytes of a write of any width`(width: Int)
    throws
  {
    for start in width == 4096 ? 0..<1 : 0x3A..<0x4C where start + width <= 4096 {
      try client.reset()
      mailbox.state.withLock { $0.writes = [] }
      // A request of 2 in both bytes would be 0x202, which does not exist.
      try write([UInt8](repeating: 2, count: width), at: start)
      let covered = (0x44..<0x46).filter { start..<start + width ~= $0 }
      let writes = mailbox.state.withLock { $0.writes }
      guard !covered.isEmpty else {
        #expect(writes.isEmpty)
        continue
      }
      var (written, mask): (UInt64, UInt64) = (0, 0)
      for place in covered {
        written |= 2 << UInt64(8 * (place - 0x44))
        mask |= 0xFF << UInt64(8 * (place - 0x44))
      }
      #expect(writes.map(\.written) == [written] && writes.map(\.covered) == [mask])
      #expect(writes.map(\.previous) == [5])
      // Only the write of the lower byte alone is a request that there is.
      let holds: UInt64 = covered == [0x44] ? 2 : 5
      #expect(writes.map(\.value) == [holds])
      #expect(try client.load(.configuration, at: 0x44, as: UInt16.self) == UInt16(holds))
    }
  }

  @Test func `A settle hook of a capability refuses one value and replaces another`() throws {
    for (written, holds) in [(3, 3), (8, 3), (0xFFFF, 3), (7, 1), (0, 0)] as [(UInt16, UInt16)] {
      try client.store(written, .configuration, at: 0x44)
      #expect(try client.load(.configuration, at: 0x44) == holds)
      // The hook has answered in the other register by the time the write was.
      #expect(try client.load(.configuration, at: 0x48) == 0xA0A0_0000 | UInt32(holds))
    }
  }

  @Test func `The device changes capability registers, read-only bits included, until a reset`()
    throws
  {
    let bus = try bench.device.bus
    #expect(bus.updateConfiguration("version") { $0 += 1 } == 0x22)
    #expect(bus.updateConfiguration("events") { $0 = 0x1_0000_0105 } == 0x105)
    #expect(try read(0x43, 1) == [0x22])
    try write([0x05], at: 0x10C)
    #expect(try read(0x10C, 2) == [0, 1])
    #expect(bus.configurationValue(of: "events") == 0x100)
    try client.reset()
    #expect(try read(0x43, 1) == [0x21])
    #expect(bus.configurationValue(of: "events") == 0)
  }

  @Test func `Only described registers of a capability are accessible by name`() throws {
    let bus = try bench.device.bus
    for name in ["command", "capability ID", "interrupt pin", "vendor-specific length", "", "none"]
    {
      #expect(bus.configurationValue(of: name) == nil)
      #expect(bus.updateConfiguration(name) { $0 = 1 } == nil)
    }
    #expect(bus.configurationValue(of: "last") == 77)
  }
}
