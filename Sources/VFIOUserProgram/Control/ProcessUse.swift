internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives

/// What a process uses, as far as /proc says.
package struct ProcessUse: Codable, Sendable {
  /// Seconds of processor time, of all threads.
  package var processorTime: Double
  /// Bytes.
  package var residentMemory: UInt64?
  package var threads: UInt64?
  package var descriptors: UInt64?
  package var mappings: UInt64?

  /// What this process uses now.
  static var now: ProcessUse {
    var usage = rusage()
    // Sound: the structure is lent for the call.
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let status = try? kernelText("/proc/self/status")
    return ProcessUse(
      processorTime: seconds(usage.ru_utime) + seconds(usage.ru_stime),
      residentMemory: field("VmRSS:", status).map { $0 << 10 },
      threads: field("Threads:", status),
      descriptors: (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))
        .map { UInt64($0.count) },
      mappings: (try? kernelText("/proc/self/maps")).map { UInt64($0.split(separator: "\n").count) }
    )
  }

  private static func seconds(_ time: timeval) -> Double {
    Double(time.tv_sec) + Double(time.tv_usec) / 1e6
  }

  private static func field(_ name: String, _ text: String?) -> UInt64? {
    let line = text?.split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { UInt64($0) }
  }
}
