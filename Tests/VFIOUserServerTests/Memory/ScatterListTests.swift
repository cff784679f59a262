import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A scatter-gather list` {
  let memory = GuestMemory(guarded: true)

  @Test func `A scatter-gather list is copied range by range until the list or the buffer ends`()
    throws
  {
    let file = try TruncatableMemory(size: 0x2000)
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x8000, 0x1000, file: file, offset: 0x1000)
    let transfer = memory.access()
    let list = [
      GuestRange(address: 0x1FFE, count: 2), GuestRange(address: 0x8000, count: 3),
      GuestRange(address: 0x9000, count: 0), GuestRange(address: 0x1000, count: 2),
    ]
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    #expect(try unsafe transfer.write(list, from: bytes.span.bytes) == 7)
    #expect(try transfer.read(at: 0x8000, count: 3) == [3, 4, 5])
    var back = [UInt8](repeating: 0, count: 6)
    var span = back.mutableSpan
    var raw = unsafe span.mutableBytes
    #expect(try transfer.read(list, into: &raw) == 6)
    #expect(back == [1, 2, 3, 4, 5, 6])
    let hole = list + [GuestRange(address: 0x9000, count: 1)]
    #expect(throws: MemoryError.unmapped(at: 0x9000)) {
      try unsafe transfer.write(hole, from: bytes.span.bytes)
    }
  }
}
