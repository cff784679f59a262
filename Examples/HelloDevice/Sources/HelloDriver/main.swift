import VFIOUser

let path = FilePath(CommandLine.arguments.dropFirst().first ?? "/tmp/hello.sock")
let client = try Client(connectingTo: path)
print("identity", String(try client.load(.bar0, at: 0x00, as: UInt32.self), radix: 16))

let memory = try SharedMemory(size: 1 << 20)
try client.map(memory, at: 0x10_0000, size: memory.size)
// Without bus master a device leaves memory alone.
try client.enable([.memory, .busMaster])
let interrupt = try EventFD()
try client.setTrigger(.intx, interrupt)
try client.store(UInt64(0x10_0000), .bar0, at: 0x08)
try client.store(UInt32(1), .bar0, at: 0x10)
print(interrupt.wait(for: .seconds(10)) ?? 0, "interrupt")
print(String(decoding: memory.read(at: 0, count: 13), as: UTF8.self))
try client.store(UInt32(1), .bar0, at: 0x14)
