import ScratchDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

typealias Bench = DeviceBench<ScratchDevice>

extension DeviceBench<ScratchDevice> {
  /// A device, served in a way.
  convenience init(_ options: ServerOptions = ServerOptions()) throws {
    try self.init(ScratchDevice.pci, options) { try ScratchDevice($0) }
  }
}

/// Offsets in BAR 0.
enum Place {
  static let scratch: UInt64 = 0x08
  static let source: UInt64 = 0x10
  static let destination: UInt64 = 0x18
  static let count: UInt64 = 0x20
  static let control: UInt64 = 0x28
  static let doorbell: UInt64 = 0x2C
  static let status: UInt64 = 0x30
  static let error: UInt64 = 0x34
  static let completed: UInt64 = 0x38
  static let raise: UInt64 = 0x40
  static let interrupts: UInt64 = 0x44
}

/// A copy, as the 32 bytes from 0x10 on that describe and start it.
struct Copy: Sendable {
  var source: UInt64
  var destination: UInt64
  var count: UInt64
  var control: UInt32 = 0

  var bytes: [UInt8] {
    [source, destination, count, UInt64(control) | 1 << 32].flatMap { number in
      (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
    }
  }
}

/// A driver: a client with 4 MiB of memory at `base`, the device made bus master.
struct Driver {
  static let base: UInt64 = 0x100_0000

  let client: Client
  let memory: SharedMemory

  init(_ client: Client, isShared: Bool = true) throws {
    self.client = client
    memory = try SharedMemory(size: 4 << 20)
    try client.map(memory, at: Self.base, size: memory.size, isShared: isShared)
    try client.setBusMaster(true)
  }

  /// Whether these bytes are in memory; `#expect` would print a megabyte of each if they are not.
  func has(_ bytes: [UInt8], at offset: UInt64) -> Bool {
    memory.read(at: offset, count: bytes.count) == bytes
  }

  /// Carries a copy out and waits for its end.
  ///
  /// - Returns: the errno.
  func copy(_ copy: Copy) throws -> UInt32 {
    let before = try client.completed()
    try client.write(.bar0, at: Place.source, from: copy.bytes)
    #expect(eventually { (try? client.completed()) == before + 1 })
    #expect(try client.register(Place.status) == 0)
    return try client.register(Place.error)
  }
}

extension Client {
  func register(_ offset: UInt64) throws -> UInt32 { try load(.bar0, at: offset) }
  func set(_ offset: UInt64, _ value: UInt32) throws { try store(value, .bar0, at: offset) }
  func completed() throws -> UInt64 { try load(.bar0, at: Place.completed) }

  /// Memory space and bus master in the command register.
  func setBusMaster(_ isOn: Bool) throws {
    try store(UInt16(isOn ? 0x0006 : 0x0002), .configuration, at: 0x04)
  }

  /// Bit 3 of the PCI status register: the level of the pin, whatever the masks.
  func level() throws -> Bool {
    try load(.configuration, at: 0x06, as: UInt16.self) & 0x0008 != 0
  }

  /// Where a capability is, found as a driver does.
  func offset(ofCapability id: UInt8) throws -> UInt64 {
    var offset = try load(.configuration, at: 0x34, as: UInt8.self)
    for _ in 0..<48 where offset != 0 {
      let header = try load(.configuration, at: UInt64(offset), as: UInt16.self)
      if UInt8(truncatingIfNeeded: header) == id { return UInt64(offset) }
      offset = UInt8(header >> 8)
    }
    throw NoSuchCapability(id: id)
  }
}

struct NoSuchCapability: Error {
  let id: UInt8
}

func counters(_ count: Int) throws -> [EventFD] {
  try (0..<count).map { _ in try EventFD() }
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var generator = SplitMix64(seed: seed)
  return generator.bytes(count)
}
