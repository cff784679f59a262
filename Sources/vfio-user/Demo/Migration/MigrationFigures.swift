import NVMeDriver

/// What a disk's moves between processes took.
struct MigrationFigures: Codable {
  /// One move.
  struct Move: Codable {
    /// What happened to the memory that driver and disk share.
    let memory: NVMeMoveOptions.Memory
    /// Commands under way when it began.
    let underWay: Int
    /// Milliseconds from the request to stop the source to the start of the target.
    let downtime: Double
    /// The longest time without the end of a command around it, in milliseconds.
    let longestPause: Double
    /// Bytes of the device's state.
    let stateBytes: UInt64
    /// Bytes of memory that were copied while the source ran, and while neither ran.
    let memoryBytesInAdvance: UInt64
    let memoryBytesWhileStopped: UInt64
    /// Rounds of copying memory.
    let memoryRounds: Int

    init(
      _ report: NVMeMoveReport, _ memory: NVMeMoveOptions.Memory, underWay: Int,
      pause nanoseconds: UInt64
    ) {
      self.memory = memory
      self.underWay = underWay
      downtime = report.migration.downtime / .milliseconds(1)
      longestPause = Double(nanoseconds) / 1e6
      stateBytes = report.migration.bytesInAdvance + report.migration.bytesWhileStopped
      memoryBytesInAdvance = report.memory.bytesInAdvance
      memoryBytesWhileStopped = report.memory.bytesWhileStopped
      memoryRounds = report.memory.rounds
    }

    var text: String {
      let copied =
        memory == .shared
        ? "memory is shared"
        : """
        memory: \(grouped(memoryBytesInAdvance)) bytes copied in \(memoryRounds) rounds, \
        \(grouped(memoryBytesWhileStopped)) while stopped
        """
      return """
           down time \(fixed(downtime, 1)) ms, the driver saw a pause of \(fixed(longestPause, 1)) ms; \
        \(underWay) commands under way
           state: \(grouped(stateBytes)) bytes; \(copied)
        """
    }
  }

  var moves: [Move] = []
  var work = WorkFigures()
  var isInterrupted = false

  /// A line about all moves.
  var text: String {
    let times = moves.map(\.downtime).sorted()
    let down =
      times.isEmpty
      ? ""
      : """
      \(moves.count) moves, down time \(fixed(times[times.count / 2], 1)) ms in the middle, at most \
      \(fixed(times[times.count - 1], 1)) ms; 
      """
    let wrong =
      work.badBlocks + work.strays == 0
      ? "all as written"
      : "\(work.badBlocks) NOT as written, \(work.strays) completions of nothing"
    return """
         \(down)\(grouped(work.writes)) blocks written, \(grouped(work.reads)) read and compared: \
      \(wrong)
      """
  }
}
