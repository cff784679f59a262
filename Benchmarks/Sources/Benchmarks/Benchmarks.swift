import ArgumentParser

/// Measures against the floor in the same run; only the ratios travel between machines.
@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure the client and the server against C that does nothing but send and receive.",
    subcommands: [
      ClientBenchmark.self, ServerBenchmark.self, DiskBenchmark.self, ManyBenchmark.self,
      ServeForBenchmark.self,
    ])
}
