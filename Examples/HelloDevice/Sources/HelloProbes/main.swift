import Glibc
import VFIOUser

// What a driver may do that no demonstration does, and what must come of it.

/// A connection to the device, with memory and an interrupt.
struct Driver {
  static let address: UInt64 = 0x10_0000

  let client: Client
  let memory: SharedMemory
  let interrupt: EventFD

  init(_ path: FilePath) throws {
    client = try Client(connectingTo: path)
    memory = try SharedMemory(size: 1 << 16)
    try client.map(memory, at: Self.address, size: memory.size)
    // Memory space and bus master.
    try client.store(UInt16(0b110), .configuration, at: 4)
    interrupt = try EventFD()
    try client.setTrigger(.intx, interrupt)
  }

  func greet(at address: UInt64 = Self.address) throws {
    try client.store(address, .bar0, at: 0x08)
    try client.store(UInt32(1), .bar0, at: 0x10)
  }

  /// Whether the greeting came and was acknowledged.
  func isGreeted() throws -> Bool {
    guard interrupt.wait(for: .seconds(10)) != nil else { return false }
    let isThere = memory.read(at: 0, count: 13) == Array("Hello, guest!".utf8)
    try client.store(UInt32(1), .bar0, at: 0x14)
    try client.setMask(false, on: .intx)
    memory.write(at: 0, from: [UInt8](repeating: 0, count: 13).span)
    return isThere
  }

  /// Whether the device reports a failure, and did not interrupt.
  func hasFailed() throws -> Bool {
    for _ in 0..<1000 {
      if try client.load(.bar0, at: 0x18, as: UInt32.self) == 1 {
        try client.store(UInt32(1), .bar0, at: 0x18)
        return try interrupt.wait(for: .milliseconds(20)) == nil && isSilent()
      }
      usleep(1000)
    }
    return false
  }

  /// Whether nothing is in memory, and no interrupt pending.
  func isSilent() throws -> Bool {
    let pending = try client.load(.bar0, at: 0x14, as: UInt32.self)
    return pending == 0 && memory.read(at: 0, count: 13).allSatisfy { $0 == 0 }
  }
}

func check(_ what: String, _ body: () throws -> Bool) throws {
  guard try body() else {
    print("HelloProbes: \(what): no")
    exit(1)
  }
  print("\(what): yes")
}

let path = FilePath(CommandLine.arguments.dropFirst().first ?? "/tmp/hello.sock")
do {
  let driver = try Driver(path)
  try check("one access writes the address and greets") {
    var bytes = [UInt8](repeating: 0, count: 12)
    bytes[2] = 0x10
    bytes[8] = 1
    try driver.client.write(.bar0, at: 0x08, from: bytes)
    return try driver.isGreeted()
  }
  try check("an address without memory is reported, and does not interrupt") {
    try driver.greet(at: 0xDEAD_0000_0000)
    return try driver.hasFailed()
  }
  try check("a device that is no bus master leaves memory alone") {
    try driver.client.store(UInt16(0b010), .configuration, at: 4)
    try driver.greet()
    let isRight = try driver.hasFailed()
    try driver.client.store(UInt16(0b110), .configuration, at: 4)
    return isRight
  }
  try check("no interrupt comes after a reset") {
    for _ in 0..<200 {
      try driver.greet()
      try driver.client.reset()
      // What came before the end of the reset is the driver's to ignore.
      _ = driver.interrupt.wait(for: .zero)
      guard driver.interrupt.wait(for: .milliseconds(2)) == nil,
        try driver.client.load(.bar0, at: 0x14, as: UInt32.self) == 0
      else { return false }
      try driver.client.store(UInt16(0b110), .configuration, at: 4)
    }
    driver.memory.write(at: 0, from: [UInt8](repeating: 0, count: 13).span)
    try driver.greet()
    return try driver.isGreeted()
  }
  driver.client.disconnect()
}
try check("the next client finds no interrupt of the last one") {
  for _ in 0..<200 {
    let first = try Driver(path)
    try first.greet()
    first.client.disconnect()
    let second = try Driver(path)
    guard second.interrupt.wait(for: .milliseconds(2)) == nil, try second.isSilent() else {
      return false
    }
    second.client.disconnect()
  }
  return true
}
