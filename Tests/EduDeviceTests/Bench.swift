import EduDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

typealias Bench = DeviceBench<EduDevice>

extension DeviceBench<EduDevice> {
  /// A device as it is by default.
  convenience init(_ options: ServerOptions = ServerOptions()) throws {
    try self.init(EduDevice.pci, options) { EduDevice($0) }
  }

  /// A device with so many bits of an address.
  convenience init(dmaBits bits: Int) throws {
    try self.init(EduDevice.pci) { EduDevice($0, dmaMask: .max >> UInt64(64 - bits)) }
  }
}

/// A driver: a client with memory at `base`, the device made bus master.
struct Driver {
  static let base: UInt64 = 0x10000

  let client: Client
  let memory: SharedMemory

  init(_ client: Client, isShared: Bool = true, at base: UInt64 = base) throws {
    self.client = client
    memory = try SharedMemory(size: 64 << 10)
    try client.map(memory, at: base, size: memory.size, isShared: isShared)
    try client.store(UInt16(0x0006), .configuration, at: 0x04)
  }

  /// Starts a transfer.
  func start(from source: UInt64, to destination: UInt64, count: UInt64, _ command: UInt64) throws {
    try client.store(source, .bar0, at: 0x80)
    try client.store(destination, .bar0, at: 0x88)
    try client.store(count, .bar0, at: 0x90)
    try client.store(command, .bar0, at: 0x98)
  }

  /// Whether a transfer is over within ten seconds.
  func finishes() -> Bool { client.eventually(.bar0, at: 0x98, 0x1, is: 0) }

  /// Carries a transfer out.
  func transfer(
    from source: UInt64, to destination: UInt64, count: UInt64, _ command: UInt64
  ) throws {
    try start(from: source, to: destination, count: count, command)
    #expect(finishes())
  }
}

extension Client {
  /// A register of four bytes.
  func register(_ offset: UInt64) throws -> UInt32 { try load(.bar0, at: offset) }

  /// Writes a register of four bytes.
  func set(_ offset: UInt64, _ value: UInt32) throws { try store(value, .bar0, at: offset) }

  /// Reads a register until some bits of it are as expected.
  func eventually(_ region: RegionIndex, at offset: UInt64, _ bits: UInt32, is value: UInt32)
    -> Bool
  {
    TestSupport.eventually {
      (try? load(region, at: offset, as: UInt32.self)).map { $0 & bits == value } ?? false
    }
  }

  /// Where MSI is: the device has no other capability.
  func offsetOfMSI() throws -> UInt64 {
    let offset = UInt64(try load(.configuration, at: 0x34, as: UInt8.self))
    #expect(try load(.configuration, at: offset, as: UInt8.self) == 0x05)
    return offset
  }
}
