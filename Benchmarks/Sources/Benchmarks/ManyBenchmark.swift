import ArgumentParser
import CFloor
import Foundation
import SystemPackage
import VFIOUserServer

/// Many devices in one process with a client each: what each costs in memory, and all of them together
/// while nobody asks for anything.
///
/// The clients are descriptors of this process that are spoken to in C, so what is counted is the
/// server's.
struct ManyBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "many")

  @Option(help: "Devices in the process.")
  var devices = 256

  @Option(help: "Seconds to watch them idle.")
  var seconds = 5

  @Flag(help: "Serve all of them from one loop instead of threads of their own.")
  var polled = false

  func run() throws {
    raiseDescriptorLimit()
    let start = Footprint()
    print(
      "\(devices) devices, \(polled ? "one loop" : "threads of their own"): resident memory and address space"
    )
    let servers = try (0..<devices).map { _ in
      try DeviceServer(BenchmarkDevice.pci) { _ in BenchmarkDevice() }
    }
    let built = Footprint()
    report("a device without a client", from: start, to: built)
    let clients = try connect(servers)
    for client in clients where floor_negotiate(client) != 0 {
      throw Failure(description: "no agreement")
    }
    let connected = Footprint()
    report("its client, connected", from: built, to: connected)
    for client in clients { _ = floor_reads(client, 0, 4, 1, 100) }
    report("a hundred small reads later", from: connected, to: Footprint())
    for client in clients { _ = floor_reads(client, 2, 1 << 20, 1, 2) }
    report("a device, all in all, after reads of 1 MiB", from: start, to: Footprint())
    try watchIdle()
    for client in clients { close(client) }
    usleep(500_000)
    report("a device whose client has gone", from: start, to: Footprint())
  }

  /// Serves each device on a path, and connects to it.
  private func connect(_ servers: [DeviceServer]) throws -> [Int32] {
    let folder = "/tmp/vfio-user-many-\(getpid())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let paths = servers.indices.map { "\(folder)/\($0)" }
    let listeners = try paths.map { try ListeningSocket(path: FilePath($0)) }
    if polled {
      Thread.detachNewThread { Self.loop(servers, listeners) }
    } else {
      for (server, listener) in zip(servers, listeners) { try server.start(on: listener) }
    }
    return try paths.map { path in
      let client = floor_connect(path)
      guard client >= 0 else { throw Failure(description: "cannot connect to \(path)") }
      return client
    }
  }

  /// One thread for all.
  private static func loop(_ servers: [DeviceServer], _ listeners: [ListeningSocket]) {
    guard let polled = try? zip(servers, listeners).map({ try PolledServer($0, on: $1) })
    else { return }
    var interests = polled.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    while poll(&interests, nfds_t(interests.count), -1) > 0 {
      for index in interests.indices where interests[index].revents != 0 {
        try? polled[index].process()
      }
    }
  }

  private func report(_ what: String, from: Footprint, to: Footprint) {
    let (resident, virtual) = (
      Double(to.resident - from.resident) / Double(devices),
      Double(to.virtual - from.virtual) / Double(devices)
    )
    print("  \(pad(what, 44)) \(fixed(resident, 1)) KiB \(fixed(virtual, 0)) KiB")
  }

  private func watchIdle() throws {
    var (before, after) = (rusage(), rusage())
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &before)
    sleep(UInt32(seconds))
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &after)
    let used = after.seconds - before.seconds
    let wakeUps = after.ru_nvcsw - before.ru_nvcsw
    print(
      "  idle for \(seconds) s: \(fixed(used * 1000, 3)) ms of processor time, \(wakeUps) wake-ups, "
        + "\(Footprint().threads) threads")
  }

  private func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(7), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(7), &limit)
  }
}

/// What the process has right now, in KiB.
private struct Footprint {
  let resident: Int
  let virtual: Int
  let threads: Int

  init() {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    func number(_ name: String) -> Int {
      let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
      let word = line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
      return word.flatMap { Int($0) } ?? 0
    }
    resident = number("VmRSS")
    virtual = number("VmSize")
    threads = number("Threads")
  }
}

extension rusage {
  /// Time on a processor, in seconds.
  fileprivate var seconds: Double {
    Double(ru_utime.tv_sec + ru_stime.tv_sec) + Double(ru_utime.tv_usec + ru_stime.tv_usec) / 1e6
  }
}
