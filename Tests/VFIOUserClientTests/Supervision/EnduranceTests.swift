import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Connecting and disconnecting` {
  @Test func `Ten thousand connections leak no descriptors and no memory`() async {
    await #expect(processExitsWith: .success) { try checkThatNothingGrows() }
  }
}

/// Memory that may come to be used between the first thousand clients and the last, for pools and
/// fragments of the allocator; a leak of one connection's tables (256 KiB) would be two gigabytes.
private let tolerance = 4 << 20

private func checkThatNothingGrows() throws {
  let host = Host()
  try host.start { server in
    try server.agree()
    try server.serve()
  }
  try connect(1000, host)
  let descriptors = settledDescriptors()
  let memory = residentMemory()
  try connect(9000, host)
  _ = eventually { openDescriptors() == descriptors }
  #expect(openDescriptors() == descriptors)
  #expect(memory > 0)
  guard !isSanitized else { return }
  #expect(residentMemory() - memory < tolerance, "\(memory) \(residentMemory())")
}

/// Whether a sanitizer keeps books of its own in this process, which grow with everything that happens.
private var isSanitized: Bool {
  unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
}

private func connect(_ times: Int, _ host: Host) throws {
  for number in 0..<times {
    switch number % 10 {
    case 0: try connectWithMemory()
    case 1: try connectWithTwin()
    case 2: try connectInVain()
    case 3, 4: try connect(to: host)
    default: try connectPlainly()
    }
  }
}

private func connectPlainly() throws {
  let client = try client { try $0.serve() }
  _ = try client.load(.bar0, at: 0, as: UInt32.self)
}

private func connect(to host: Host) throws {
  let client = try Client(connectingTo: host.path)
  _ = try client.load(.bar0, at: 0, as: UInt32.self)
}

private func connectWithMemory() throws {
  let client = try client { try $0.serve() }
  try client.map(try SharedMemory(size: 4096), at: 0, size: 4096)
  try client.setTrigger(.intx, try EventFD())
}

private func connectWithTwin() throws {
  var options = ClientOptions()
  options.handler = { $0.reply([]) }
  let client = try clientWithTwin(options) { server, twin in
    _ = try twin.ask(message(Command(rawValue: 99)))
    try server.serve()
  }
  _ = try client.deviceInfo()
}

private func connectInVain() throws {
  let running = try RunningScript { server in
    server.reply(to: try server.receive(), [1, 0, 0, 0], descriptors: descriptors(2))
  }
  _ = try? Client(running.clientEnd)
  _ = running.join()
}

/// Bytes of memory that this process has in use (second number of /proc/self/statm, in pages).
private func residentMemory() -> Int {
  let statistics = FilePath("/proc/self/statm")
  guard let file = try? FileDescriptor.open(statistics, .readOnly) else { return 0 }
  defer { try? file.close() }
  var buffer = [UInt8](repeating: 0, count: 128)
  let count = unsafe buffer.withUnsafeMutableBytes { bytes in
    (unsafe try? file.read(into: bytes)) ?? 0
  }
  let text = String(decoding: buffer[..<count], as: UTF8.self)
  return (Int(text.split(separator: " ")[1]) ?? 0) * 4096
}
