import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// The README's example, line by line, but for the path.
private func example(_ path: FilePath, _ print: (Any...) -> Void) throws {
  // README
  let client = try Client(connectingTo: path)
  for number in 0..<(try client.deviceInfo().regionCount) {
    let region = try client.region(RegionIndex(rawValue: number))
    print(region.index, region.size, region.flags)
  }
  print("register 0:", try client.load(.bar0, at: 0, as: UInt32.self))

  // Memory that the device may read and write, at address 0.
  let memory = try SharedMemory(size: 1 << 20)
  try client.map(memory, at: 0, size: memory.size)

  let pin = try client.interruptPin()
  try client.store(UInt32(1), .bar0, at: 0)
  print(pin.wait(for: .seconds(1)) ? "interrupted" : "silent")
  try client.store(UInt32(0), .bar0, at: 0)
  try pin.unmask()
  // end
}

@Suite struct `The example in the README` {
  @Test func `works`() throws {
    let host = Host()
    try host.start { server in
      try server.agree()
      var pin: EventCounter?
      while true {
        let message = try server.receive(within: .seconds(60))
        if let descriptor = server.takeDescriptor(), message.command == .deviceSetIRQs {
          pin = EventCounter(adopting: descriptor)
        }
        if message.command == .regionWrite, message.word(at: 16) == 1 { pin?.signal() }
        server.answer(message)
      }
    }
    let lines = Notes<String>()
    try example(host.path) { items in
      lines.add(items.map { "\($0)" }.joined(separator: " "))
    }
    #expect(lines.all.count == 11)
    #expect(lines.all[9] == "register 0: \(expected(at: 0, as: UInt32.self))")
    #expect(lines.all[10] == "interrupted")
  }

  @Test func `is what is tested here`() throws {
    let here = URL(fileURLWithPath: #filePath)
    let root = here.deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let source = try String(contentsOf: here, encoding: .utf8)
    let shown = try #require(
      Self.part(of: readme, from: "let path: FilePath = \"/tmp/notepad.sock\"\n", to: "```"))
    let tested = try #require(Self.part(of: source, from: "  // README\n", to: "  // end\n"))
    let lines = tested.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("  ") ? $0.dropFirst(2) : $0 }
    #expect(shown == lines.joined(separator: "\n"))
  }

  private static func part(of text: String, from start: String, to end: String) -> String? {
    guard let begin = text.range(of: start),
      let close = text.range(of: end, range: begin.upperBound..<text.endIndex)
    else { return nil }
    return String(text[begin.upperBound..<close.lowerBound])
  }
}
