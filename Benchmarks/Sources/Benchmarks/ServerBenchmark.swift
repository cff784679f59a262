import ArgumentParser
import CFloor
import Foundation
import SystemPackage
import VFIOUserServer

/// The server against a minimal one in C, both asked by the same client in C.
struct ServerBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "server")

  @Option(help: "Series of each kind, taken in turns.")
  var series = 5

  @Option(help: "The processor for both processes; -1 leaves it to the kernel.")
  var cpu: Int32 = 0

  @Option(help: "Only rows whose name has this in it. Repeat for more.")
  var only: [String] = []

  func run() throws {
    print("median of \(series) series; floor, server, ratio of times")
    try compare("read of 4 bytes, alone", 20_000) { floor_reads($0, 0, 4, 1, $1) }
    try compare("posted write of 4 bytes", 100_000) { floor_posted_writes($0, 0, 4, $1) }
    try compare("read of 4 bytes, 8 in flight", 40_000) { floor_reads($0, 0, 4, 8, $1) }
    try compare("read of 4 bytes, 32 in flight", 64_000) { floor_reads($0, 0, 4, 32, $1) }
    try compare("read of 64 KiB", 4000) { floor_reads($0, 2, 65_536, 1, $1) }
    try compare("read of 1 MiB", 400) { floor_reads($0, 2, 1 << 20, 1, $1) }
    try compare("write of 64 KiB", 4000) { floor_writes($0, 2, 65_536, $1) }
    try compare("write of 1 MiB", 400) { floor_writes($0, 2, 1 << 20, $1) }
    let memory = floor_memory(1 << 20)
    for windows: Int32 in [16, 1024, 65_534] {
      try compare("map and unmap beside \(windows) windows", 2000, windows) {
        floor_maps($0, memory, 0x4000_0000, $1)
      }
    }
  }

  /// Measures both in turns.
  private func compare(
    _ what: String, _ rounds: Int32, _ windows: Int32 = 0,
    _ measure: (Int32, Int32) -> UInt64
  ) throws {
    guard only.isEmpty || only.contains(where: { what.contains($0) }) else { return }
    var floor: [Double] = []
    var ours: [Double] = []
    for _ in 0..<series {
      floor.append(
        try one(rounds, windows, measure) { floor_start_server($0, $1, cpu, nil, 0) })
      ours.append(try one(rounds, windows, measure) { floor_start_self($0, $1, cpu) })
    }
    let ratio = median(ours) / median(floor)
    print(
      "  \(pad(what, 36)) \(fixed(median(floor) / 1000, 2)) us \(fixed(median(ours) / 1000, 2)) us"
        + "  \(fixed(ratio, 3))")
  }

  /// Nanoseconds a round.
  private func one(
    _ rounds: Int32, _ windows: Int32, _ measure: (Int32, Int32) -> UInt64,
    _ start: (Int32, Int32) -> Int32
  ) throws -> Double {
    let (mine, theirs) = try pair()
    let child = start(theirs, mine)
    close(theirs)
    defer { floor_stop(child); close(mine) }
    return try pinned {
      guard floor_negotiate(mine) == 0 else { throw Failure(description: "no agreement") }
      guard floor_fill_windows(mine, 1 << 40, windows) == 0 else {
        throw Failure(description: "a window was refused")
      }
      _ = measure(mine, rounds / 10)
      return Double(measure(mine, rounds)) / Double(rounds)
    }
  }
}

/// The server that is measured, in a process of its own.
struct ServeForBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "serve", shouldDisplay: false)

  @Argument var fd: Int32

  func run() throws {
    let server = try DeviceServer(BenchmarkDevice.pci) { _ in BenchmarkDevice() }
    server.serve(MessageSocket(adopting: OwnedDescriptor(adopting: fd)))
  }
}

/// Registers and a megabyte behind callbacks that do as little as the floor does.
final class BenchmarkDevice: Device {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(.memory32(prefetchable: false), size: 8192),
      2: BaseAddressRegister(.memory32(prefetchable: false), size: 1 << 20),
    ])

  // The floor sends what happens to be in its buffer as well.
  let fillsReads = true

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {}
  func reset() {}
}
