import CLinux
import Glibc
import LinuxPrimitives
import Testing

@testable import NVMeDevice

@Suite struct `A disk in memory` {
  private func read(_ memory: DiskMemory, _ offset: UInt64, _ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: count)
    let isRead = unsafe bytes.withUnsafeMutableBytes { buffer in
      unsafe buffer.baseAddress.map { unsafe memory.read(offset, count, to: $0) } ?? false
    }
    #expect(isRead)
    return bytes
  }

  private func write(_ memory: DiskMemory, _ offset: UInt64, _ bytes: [UInt8]) {
    var bytes = bytes
    let count = bytes.count
    let isWritten = unsafe bytes.withUnsafeMutableBytes { buffer in
      unsafe buffer.baseAddress.map { unsafe memory.write(offset, count, from: $0) } ?? false
    }
    #expect(isWritten)
  }

  @Test func `A disk in memory returns what was written, and zeros elsewhere, without taking room`()
    throws
  {
    let file = try StorageFile(memory: 64 << 20)
    let memory = try #require(file.memory)
    #expect(read(memory, 0, 4 << 20).allSatisfy { $0 == 0 })
    #expect(try file.allocated() == 0)
    write(memory, 4095, [1, 2])
    write(memory, 12288, [UInt8](repeating: 3, count: 4096))
    #expect(read(memory, 4094, 4) == [0, 1, 2, 0])
    #expect(
      read(memory, 8190, 8196) == [UInt8](repeating: 0, count: 4098)
        + [UInt8](repeating: 3, count: 4096) + [0, 0])
    #expect(read(memory, 8 << 20, 4 << 20).allSatisfy { $0 == 0 })
    #expect(try file.allocated() == 3 * 4096)
  }

  @Test func `A disk in memory holds what lies inside of it`() throws {
    let memory = try #require(try StorageFile(memory: 16384).memory)
    #expect(memory.holds(0, 16384) && memory.holds(16383, 1) && memory.holds(16384, 0))
    #expect(!memory.holds(0, 16385) && !memory.holds(16384, 1) && !memory.holds(.max, 1))
    #expect(!memory.holds(1, .max))
    let odd = try #require(try StorageFile(memory: 16384 + 512).memory)
    #expect(odd.holds(0, 16384) && !odd.holds(16384, 512))
    #expect(try StorageFile(memory: 512).memory == nil)
  }

  @Test func `Pages that were given back read as zeros and take no room again`() throws {
    let file = try StorageFile(memory: 1 << 20)
    let memory = try #require(file.memory)
    write(memory, 0, [UInt8](repeating: 9, count: 1 << 20))
    // Pages 1 to 3 as a whole, and parts of their neighbours.
    #expect(clinux_storage_punch(file.descriptor.number, 4000, 12400) == 0)
    memory.noteHole(4000, 12400)
    let kept = try file.allocated()
    let after = read(memory, 0, 20480)
    #expect(after[0..<4000].allSatisfy { $0 == 9 } && after[4000..<16400].allSatisfy { $0 == 0 })
    #expect(after[16400...].allSatisfy { $0 == 9 })
    #expect(try file.allocated() == kept && kept == 1 << 20 - 3 * 4096)
  }

  @Test func `A disk in memory finds what was written before it was mapped`() throws {
    let number = unsafe clinux_unsealed_memory_file("test", 1 << 20)
    let descriptor = OwnedDescriptor(adopting: number)
    var byte: UInt8 = 5
    #expect(unsafe pwrite(descriptor.number, &byte, 1, 70_000) == 1)
    #expect(unsafe pwrite(descriptor.number, &byte, 1, 1 << 20 - 1) == 1)
    let found = DiskMemory(descriptor, size: 1 << 20)
    let memory = try #require(found)
    #expect(read(memory, 69_999, 3) == [0, 5, 0] && read(memory, 1 << 20 - 1, 1) == [5])
  }
}
