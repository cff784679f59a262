import VFIOUser

let path = FilePath(CommandLine.arguments.dropFirst().first ?? "/tmp/ring.sock")
let client = try Client(connectingTo: path)

// One window of memory: the ring at its beginning, the buffers behind it.
let memory = try SharedMemory(size: 1 << 20)
let base: UInt64 = 0x10_0000
try client.map(memory, at: base, size: memory.size)
try client.enable([.memory, .busMaster])
let finished = try EventFD()
try client.setTrigger(.msix, vector: 0, finished)

let texts = ["a ring", "in the memory", "of the guest"]
for (index, text) in texts.enumerated() {
  let entry = UInt64(index) * 16
  let buffer = 0x1000 + UInt64(index) * 0x100
  memory.write(at: buffer, from: Array(text.utf8))
  memory.store(base + buffer, at: entry)
  memory.store(UInt32(text.utf8.count), at: entry + 8)
}
try client.store(base, .bar0, at: 0x08)
try client.store(UInt32(texts.count), .bar0, at: 0x14)

// An interrupt says that something has finished, not how much.
while try client.load(.bar0, at: 0x10, as: UInt32.self) != texts.count {
  guard finished.wait(for: .seconds(10)) != nil else { fatalError("no interrupt") }
  try client.store(UInt32(1), .bar0, at: 0x1C)
}
for (index, text) in texts.enumerated() {
  print(text, memory.load(at: UInt64(index) * 16 + 12, as: UInt32.self))
}
