import Foundation
import TestSupport
import VFIOUserProtocol

@testable import VFIOUserInspection

/// tshark with the dissector that the program prints.
struct Wireshark {
  static let program = URL(filePath: "/usr/bin/tshark")
  static var isThere: Bool { FileManager.default.isExecutableFile(atPath: program.path) }
  static let remedy = "tshark is not there: apt-get install --no-install-recommends tshark"

  private let scratch: ScratchFolder

  /// Records messages.
  init(_ messages: [TracedMessage]) throws {
    scratch = try ScratchFolder()
    var encoder = CaptureEncoder(description: "a test")
    let bytes = messages.reduce(encoder.start()) { $0 + encoder.encode($1) }
    try Data(bytes).write(to: URL(filePath: scratch.path("a.pcapng")))
    let script = try ProgramRun(.builtProgram("vfio-user"), ["trace", "--dissector"])
    try script.output.write(to: URL(filePath: scratch.path("dissector.lua")))
  }

  /// What it prints: a line for each packet.
  func lines(_ arguments: [String]) throws -> [String] {
    let run = try ProgramRun(
      Self.program,
      ["-X", "lua_script:\(scratch.path("dissector.lua"))", "-r", scratch.path("a.pcapng")]
        + arguments)
    guard run.exitCode == 0 else { throw HarnessError("tshark: \(run.errors)") }
    return run.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      .map(String.init)
  }

  /// The values of fields, a list for each packet.
  func fields(_ names: [String], filter: String = "frame") throws -> [[String]] {
    try lines(["-Y", filter, "-T", "fields"] + names.flatMap { ["-e", $0] })
      .map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
  }

  /// The numbers of the packets that a filter finds.
  func packets(_ filter: String) throws -> [Int] {
    try fields(["frame.number"], filter: filter).compactMap { $0.first.flatMap { Int($0) } }
  }

  /// What is malformed, and where the dissector itself is wrong.
  func faultTexts() throws -> [String] {
    try fields(
      ["frame.number", "_ws.col.Info", "_ws.expert.message", "_ws.lua.text"], filter: Self.faults
    ).map { $0.joined(separator: " ") }
  }

  /// Finds what the dissector calls malformed, and faults of the dissector itself.
  static let faults = "_ws.malformed or vfio_user.malformed or _ws.lua.error"
}
