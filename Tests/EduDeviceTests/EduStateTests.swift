import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import EduDevice

@Suite struct `The state of the edu device` {
  @Test func `An edu device goes on elsewhere with its registers, its buffer and its interrupt`()
    throws
  {
    let (source, target) = (try Driver(Bench().connect()), try Driver(Bench().connect()))
    try source.client.store(UInt32(5), .bar0, at: 0x04)
    try source.client.store(UInt32(6), .bar0, at: 0x08)
    source.memory.write(at: 0, from: [1, 2, 3, 4])
    try source.transfer(from: Driver.base, to: 0x40000, count: 4, 0x5)
    try target.client.loadState(source.client.saveState())
    #expect(try target.client.load(.bar0, at: 0x04, as: UInt32.self) == ~5)
    #expect(try target.client.load(.bar0, at: 0x08, as: UInt32.self) == 720)
    #expect(try target.client.load(.bar0, at: 0x24, as: UInt32.self) == 0x100)
    #expect(try target.client.load(.bar0, at: 0x90, as: UInt64.self) == 4)
    let interrupt = try EventFD()
    try target.client.setTrigger(.intx, interrupt)
    #expect(interrupt.wait(for: .seconds(5)) == 1)
    // Bus master and the buffer came along.
    try target.transfer(from: 0x40000, to: Driver.base + 0x100, count: 4, 0x3)
    #expect(target.memory.read(at: 0x100, count: 4) == [1, 2, 3, 4])
  }

  @Test func `A state that the edu device of version 1 has saved is loaded`() throws {
    try SavedStates.keep("edu") {
      let source = try Driver(Bench().connect())
      try source.client.store(UInt32(5), .bar0, at: 0x04)
      try source.client.store(UInt32(6), .bar0, at: 0x08)
      source.memory.write(at: 0, from: [1, 2, 3, 4])
      try source.transfer(from: Driver.base, to: 0x40000, count: 4, 0x5)
      return try source.client.saveState()
    }
    let target = try Driver(Bench().connect())
    try target.client.loadState(SavedStates.bytes("edu"))
    #expect(try target.client.load(.bar0, at: 0x08, as: UInt32.self) == 720)
    #expect(try target.client.load(.bar0, at: 0x24, as: UInt32.self) == 0x100)
    try target.transfer(from: 0x40000, to: Driver.base + 0x100, count: 4, 0x3)
    #expect(target.memory.read(at: 0x100, count: 4) == [1, 2, 3, 4])
  }

  @Test func `Registers with a buffer of another size, or with work under way, are refused`() {
    var registers = EduRegisters()
    #expect(registers.problem == nil)
    registers.fill(0..<1, with: [])
    #expect(registers.problem == "the buffer has 4095 bytes instead of 4096")
    registers = EduRegisters()
    _ = registers.write(1, at: .command)
    #expect(registers.problem != nil)
    registers = EduRegisters()
    _ = registers.write(1, at: .factorial)
    #expect(registers.problem != nil)
  }
}
