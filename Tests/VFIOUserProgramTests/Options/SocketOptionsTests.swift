import ArgumentParser
import Testing

@testable import VFIOUserProgram

@Suite struct `The options of a socket` {
  @Test(arguments: [
    ("--socket a", SocketOptions.Place.path("a")), ("--socket-path a", .path("a")),
    ("--fd 7", .descriptor(7)), ("--systemd", .systemd(name: nil)),
    ("--systemd-name disk", .systemd(name: "disk")),
    ("--systemd --systemd-name disk", .systemd(name: "disk")),
  ])
  func `The options of a socket name one place`(_ line: String, _ place: SocketOptions.Place)
    throws
  {
    #expect(try SocketOptions.parse(line.split(separator: " ").map(String.init)).place == place)
  }

  @Test(arguments: [
    "", "--mode 600", "--socket a --fd 3", "--socket a --systemd", "--fd 3 --systemd-name a",
    "--socket a --mode 9", "--socket a --mode 1000", "--socket a --mode -1",
    "--socket a --memory-files some",
  ])
  func `The options of a socket are refused if they name no place, two, or a wrong value`(
    _ line: String
  ) {
    #expect(throws: (any Error).self) {
      try SocketOptions.parse(line.split(separator: " ").map(String.init))
    }
  }

  @Test(arguments: [("a", "memory"), ("a --memory-files any", "any")])
  func `Memory in files of any file system is taken only on request`(
    _ line: String, _ files: String
  ) throws {
    let options = try SocketOptions.parse(
      ["--socket"] + line.split(separator: " ").map(String.init))
    #expect(options.memoryFiles.rawValue == files)
    #expect(options.memoryFiles.files == (files == "any" ? .any : .memory))
  }
}
