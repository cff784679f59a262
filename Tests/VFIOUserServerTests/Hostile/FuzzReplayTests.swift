import Foundation
import FuzzHarness
import Testing

/// Inputs of the fuzzers: those that once crashed something, and those that the fuzzers start from.
@Suite struct `Stored fuzzer inputs` {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz")

  static func inputs(_ kind: String) -> [String] {
    ["Crashers", "Seeds"].flatMap { folder in
      let place = root.appendingPathComponent(folder).appendingPathComponent(kind).path
      let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
      return names.sorted().map { "\(folder)/\(kind)/\($0)" }
    }
  }

  private func content(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: Self.root.appendingPathComponent(name)))
  }

  @Test(arguments: inputs("server"))
  func `The server survives each stored fuzzer input`(name: String) throws {
    let bytes = try content(name)
    let input = try ServerInput()
    try input.run(bytes.span)
  }

  @Test(arguments: inputs("protocol"))
  func `The decoders survive each stored fuzzer input`(name: String) throws {
    let bytes = try content(name)
    ProtocolInput.run(bytes.span)
  }

  @Test func `Fuzzer inputs are stored for the server and for the decoders`() {
    #expect(!Self.inputs("server").isEmpty)
    #expect(!Self.inputs("protocol").isEmpty)
  }
}
