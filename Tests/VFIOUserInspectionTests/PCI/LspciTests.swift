import Foundation
import Testing
import TestSupport
import VFIOUserInspection

/// `lspci` of pciutils, where it is installed.
private let lspci: URL? = {
  let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
  return folders.map { URL(filePath: "\($0)/lspci") }
    .first { FileManager.default.isExecutableFile(atPath: $0.path) }
}()

@Suite struct `The dump of configuration space, read by lspci` {
  /// One of nearly everything, with bits set here and there.
  private static let builder: SpaceBuilder = {
    var builder = SpaceBuilder()
    builder.put(0x0406, at: 0x04, width: 2)
    builder.put(0x2010, at: 0x06, width: 2)
    builder.capability(0x01, at: 0x40, next: 0x50, (2, 0x0603, 2), (4, 0x0008, 2))
    builder.capability(0x05, at: 0x50, next: 0x70, (2, 0x01A7, 2))
    builder.capability(0x11, at: 0x70, next: 0x80, (2, 0xC00F, 2), (4, 0x2004, 4), (8, 0x3004, 4))
    builder.capability(
      0x10, at: 0x80, next: 0xC0, (2, 0x0002, 2), (4, 0x1000_8FC2, 4), (8, 0x2830, 2),
      (10, 0x0029, 2),
      (12, 0x0047_BC43, 4), (16, 0x0042, 2), (18, 0x3043, 2), (0x24, 0x0003_0C10, 4),
      (0x28, 0x0410, 2),
      (0x2C, 0x8E, 4), (0x30, 3, 2), (0x32, 0x1E, 2))
    builder.capability(0x13, at: 0xC0, next: 0xD0, (2, 6, 1), (3, 3, 1))
    builder.capability(0x12, at: 0xD0, (2, 0x10, 2), (4, 0x48, 4))
    builder.extended(
      0x01, at: 0x100, next: 0x148, (4, 0x0010_5000, 4), (8, 0x0040_0000, 4), (12, 0x0046_2030, 4),
      (16, 0x2001, 4), (20, 0xE000, 4), (24, 0x1E0, 4))
    builder.extended(0x03, at: 0x148, next: 0x160, (4, 0x0011_2233_4455_6677, 8))
    builder.extended(
      0x10, at: 0x160, next: 0x1A0, (4, 0x2, 4), (8, 0x19, 2), (12, 8, 2), (14, 8, 2),
      (0x1A, 0x10CA, 2))
    builder.extended(0x0F, at: 0x1A0, next: 0x1B0, (4, 0x20, 2), (6, 0x8000, 2))
    builder.extended(0x0E, at: 0x1B0, next: 0x1C0, (4, 0x0103, 2), (6, 1, 2))
    builder.extended(0x1B, at: 0x1C0, next: 0x1D0, (4, 0x1406, 2), (6, 3, 2))
    builder.extended(0x18, at: 0x1D0, next: 0x1E0, (4, 0x1003, 2), (6, 0x0805, 2))
    builder.extended(0x0D, at: 0x1E0, next: 0x1F0, (4, 0x5D, 2), (6, 0x11, 2))
    builder.extended(
      0x13, at: 0x1F0, next: 0x200, (4, 1, 2), (6, 0x8100, 2), (8, 32, 4), (12, 16, 4))
    builder.extended(0x1F, at: 0x200, (4, 5, 4), (8, 1, 4))
    return builder
  }()

  /// The flags of each register in a text: `Name: flag+ flag-`, in one line or several.
  private static func flags(_ text: String) -> [String: [String: Bool]] {
    var found: [String: [String: Bool]] = [:]
    var place = ""
    var register = ""
    for line in text.split(separator: "\n") {
      let words = line.split { " \t(),;".contains($0) }
      if let range = line.range(of: "Capabilities: ["),
        let end = line[range.upperBound...].firstIndex(where: { " ]".contains($0) })
      {
        place = String(line[range.upperBound..<end])
        register = ""
      }
      if let first = words.first, first.hasSuffix(":"), first != "Capabilities:" {
        register = String(first)
      }
      for word in words where word.hasSuffix("+") || word.hasSuffix("-") {
        let name = String(word.dropLast())
        // Of two with the same name in a line the first counts: lspci has D1 once more in PME(...).
        guard found["\(place) \(register)"]?[name] == nil else { continue }
        found["\(place) \(register)", default: [:]][name] = word.hasSuffix("+")
      }
    }
    return found
  }

  @Test(.enabled(if: lspci != nil, "pciutils is not installed"))
  func `lspci finds the same capabilities at the same places, with the same flags`() throws {
    let folder = try ScratchFolder()
    let space = Self.builder.space
    try HexDump.configurationSpace(space, title: "Class 0108: Device 1234:5678")
      .write(toFile: folder.path("dump"), atomically: true, encoding: .utf8)
    let run = try ProgramRun(try #require(lspci), ["-F", folder.path("dump"), "-vvv"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let ours = Self.builder.capabilities
    #expect(ours.problems.isEmpty)
    let all = ours.standard + ours.extended
    for one in all {
      let version = one.version.map { " v\($0)" } ?? ""
      let place = String(one.offset, radix: 16) + version
      #expect(run.text.contains("Capabilities: [\(place)]"), "\(place): \(run.text)")
    }
    let text = all.map { one in
      (["Capabilities: [\(String(one.offset, radix: 16)) ]"]
        + one.registers.map { "\t\t\($0.text)" }).joined(separator: "\n")
    }
    let (mine, theirs) = (Self.flags(text.joined(separator: "\n")), Self.flags(run.text))
    var compared = 0
    for (register, flags) in mine {
      for (name, isSet) in flags {
        guard let other = theirs[register]?[name] else { continue }
        compared += 1
        #expect(other == isSet, "\(register) \(name)")
      }
    }
    #expect(compared >= 100, "only \(compared) flags have the same names")
  }
}
