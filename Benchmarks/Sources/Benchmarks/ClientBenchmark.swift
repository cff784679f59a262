import ArgumentParser
import Foundation
import CFloor
import VFIOUserClient

/// The client's round trip against a raw ping-pong of the same sizes; and how long a DMA_READ takes that
/// comes while nobody waits.
struct ClientBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "client")

  @Option(help: "Round trips of a series.")
  var rounds = 20_000

  @Option(help: "Series of each kind, taken in turns.")
  var series = 7

  @Option(help: "The processor for both processes; -1 leaves it to the kernel.")
  var cpu: Int32 = 0

  func run() throws {
    var raw: [Double] = []
    var plain: [Double] = []
    var alone: [Double] = []
    var watched: [Double] = []
    var traced: [Double] = []
    for _ in 0..<series {
      raw.append(try rawRoundTrip())
      plain.append(try plainRoundTrip())
      alone.append(try clientRoundTrip(withMemory: false))
      traced.append(try clientRoundTrip(withMemory: false, trace: SilentSink()))
      watched.append(try clientRoundTrip(withMemory: true))
    }
    print("region read of 4 bytes, round trip, median of \(series) medians of \(rounds)")
    report("raw ping-pong, 32 bytes out and 36 back", raw, raw)
    report("C client, same server as below", plain, raw)
    report("client, no background reader", alone, raw)
    report("client, memory registered", watched, raw)
    report("client, no background reader, traced", traced, raw)
    print(
      "  a sink that does nothing, against no sink: \(fixed(median(traced) / median(alone), 3))")
    try dmaLatency()
  }

  private func report(_ what: String, _ values: [Double], _ floor: [Double]) {
    let ratio = median(values) / median(floor)
    print("  \(pad(what, 42)) \(fixed(median(values) / 1000, 2)) us   \(fixed(ratio, 3))")
  }

  private func rawRoundTrip() throws -> Double {
    let (mine, theirs) = try pair()
    let child = floor_start_echo(theirs, mine, cpu, 32, 36)
    close(theirs)
    defer { floor_stop(child); close(mine) }
    return pinned {
      var samples = [UInt64](repeating: 0, count: rounds)
      floor_ping(mine, 32, 36, Int32(rounds / 10), &samples)
      floor_ping(mine, 32, 36, Int32(rounds), &samples)
      return median(samples)
    }
  }

  /// A client in C towards the same server: what the protocol costs without us.
  private func plainRoundTrip() throws -> Double {
    let (mine, theirs) = try pair()
    let child = floor_start_server(theirs, mine, cpu, floor_share(), 0)
    close(theirs)
    defer { floor_stop(child); close(mine) }
    return pinned {
      _ = floor_negotiate(mine)
      var samples = [UInt64](repeating: 0, count: rounds)
      _ = floor_reads(mine, 0, 4, 1, Int32(rounds / 10))
      for round in 0..<rounds { samples[round] = floor_reads(mine, 0, 4, 1, 1) }
      return median(samples)
    }
  }

  private func clientRoundTrip(
    withMemory: Bool, trace: (any TraceSink)? = nil
  ) throws -> Double {
    let (mine, theirs) = try pair()
    let child = floor_start_server(theirs, mine, cpu, floor_share(), 0)
    close(theirs)
    defer { floor_stop(child) }
    // Before the client starts its threads, so that they inherit the processor.
    return try pinned {
      var options = ClientOptions()
      options.trace = trace
      let client = try Client(
        MessageSocket(adopting: OwnedDescriptor(adopting: mine)), options: options)
      if withMemory {
        try client.map(try SharedMemory(size: 1 << 20), at: 0, size: 1 << 20)
      }
      var samples = [UInt64](repeating: 0, count: rounds)
      for _ in 0..<rounds / 10 { _ = try client.load(.bar0, at: 0, as: UInt32.self) }
      for round in 0..<rounds {
        let start = floor_now()
        _ = try client.load(.bar0, at: 0, as: UInt32.self)
        samples[round] = floor_now() - start
      }
      return median(samples)
    }
  }

  private func dmaLatency() throws {
    let (mine, theirs) = try pair()
    guard let shared = floor_share() else { return }
    let child = floor_start_server(theirs, mine, cpu, shared, 200_000)
    close(theirs)
    defer { floor_stop(child) }
    try pinned {
      let client = try Client(MessageSocket(adopting: OwnedDescriptor(adopting: mine)))
      try client.map(try SharedMemory(size: 1 << 20), at: 0, size: 1 << 20)
      for round in 0..<1000 {
        try client.post(UInt32(round), .bar0, at: 0x1000)
        while floor_done(shared) <= UInt64(round) { usleep(100) }
      }
    }
    let samples = (0..<floor_done(shared)).map { floor_sample(shared, $0) }
    print("DMA_READ of 64 bytes that comes while nobody waits, seen by the server")
    print("  median \(fixed(median(samples) / 1000, 2)) us of \(samples.count)")
  }
}

/// Sees everything and does nothing.
private struct SilentSink: TraceSink {
  func record(_ event: TraceEvent) {}
}
