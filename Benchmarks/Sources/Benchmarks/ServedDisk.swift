import Foundation

/// A disk that is served by a process of its own, with doorbells in memory; the process ends with this object, or with
/// ours.
final class ServedDisk {
  let name: String
  let socket: String
  /// Nil for a disk in memory.
  let file: String?
  private let process = Process()

  /// Starts the process on the processor of the caller, and waits for its socket.
  ///
  /// - Parameter place: the beginning of the names of its files.
  init(
    name: String, program: String, place: String, bytes: Int, isInMemory: Bool,
    _ options: [String]
  ) throws {
    self.name = name
    socket = place + ".sock"
    file = isInMemory ? nil : place + ".img"
    process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
    process.arguments =
      [
        "--pdeathsig", "TERM", program, "serve", "nvme", "--socket", socket, "--doorbells",
        "mapped", "--log-level", "error",
      ]
      + (isInMemory
        ? ["--memory", "\(bytes)"]
        : ["--file", place + ".img", "--size", "\(bytes)", "--state", place + ".state"])
      + options
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    for _ in 0..<200 where !FileManager.default.fileExists(atPath: socket) {
      guard process.isRunning else { break }
      usleep(50_000)
    }
    guard FileManager.default.fileExists(atPath: socket) else {
      throw Failure(description: "\(program) does not serve \(socket)")
    }
  }

  deinit {
    guard process.isRunning else { return }
    process.terminate()
    process.waitUntilExit()
  }
}

/// `vfio-user nvme bench`, on a processor of its own.
struct DiskDriver {
  let path: String
  let cpu: Int32

  /// Writes the whole disk once, so that no page is made while it is measured.
  func fill(_ disk: ServedDisk) throws {
    let all = DiskWorkload(name: "fill", block: 128 << 10, depth: 8, writes: true, isRandom: false)
    _ = try measure(all, disk, seconds: 1)
  }

  /// - Parameter file: measured by io_uring, and its figure returned instead of the disk's.
  func measure(
    _ workload: DiskWorkload, _ disk: ServedDisk, seconds: Double, besides file: String? = nil
  ) throws -> DiskFigure {
    try move(to: cpu)
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments =
      ["nvme", "bench", disk.socket, "--poll", "--json", "--seconds", "\(seconds)"]
      + workload.options + (file.map { ["--compare", $0] } ?? [])
    process.standardOutput = output
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: "\(path) cannot measure \(disk.name) with \(workload.name)")
    }
    let report = try JSONDecoder().decode(BenchOutput.self, from: text)
    guard let subject = report.subjects.last else {
      throw Failure(description: "\(path) has measured nothing")
    }
    return DiskFigure(
      perSecond: subject.operationsPerSecond,
      latency: subject.readLatency ?? subject.writeLatency)
  }
}

/// What is taken from the JSON of `vfio-user nvme bench`.
private struct BenchOutput: Decodable {
  struct Subject: Decodable {
    let operationsPerSecond: Double
    let readLatency: DiskFigure.Latency?
    let writeLatency: DiskFigure.Latency?
  }

  let subjects: [Subject]
}
