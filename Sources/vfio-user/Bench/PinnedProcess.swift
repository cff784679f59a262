import FoundationEssentials
import LinuxPrimitives
import SystemPackage
import VFIOUserProgram

/// A process of somebody else whose threads stay on one processor as long as this object lives.
final class PinnedProcess {
  private let process: Int32
  /// Where each thread could run before.
  private var before: [Int32: ProcessorAffinity] = [:]

  /// Moves all threads, those that are started meanwhile too.
  ///
  /// - Throws: ``CommandError`` if this process must not do that.
  init(_ process: Int32, to processor: Int) throws {
    self.process = process
    // A thread that is not moved yet may start another; one that was moved starts threads on the same processor. A
    // process that starts threads without end does not keep us here.
    for _ in 0..<100 {
      let new = Self.threads(of: process).filter { before[$0] == nil }
      guard !new.isEmpty else { break }
      for thread in new { try move(thread, to: processor) }
    }
    guard !before.isEmpty else {
      throw CommandError("process \(process), the device's, is gone or cannot be seen in /proc.")
    }
  }

  /// The threads run where they could before; those that are new, where the first one can.
  deinit {
    for thread in Self.threads(of: process) {
      try? (before[thread] ?? before[process])?.apply(to: thread)
    }
  }

  private func move(_ thread: Int32, to processor: Int) throws {
    let wanted = ProcessorAffinity([processor])
    do throws(SystemCallError) {
      let now = try ProcessorAffinity(of: thread)
      try wanted.apply(to: thread)
      before[thread] = now
    } catch {
      // It has ended, and must not be looked at again.
      before[thread] = wanted
      guard error.code != .noSuchProcess else { return }
      throw CommandError(
        "process \(process), the device's, cannot be moved to processor \(processor): \(error)\(remedy(error))."
      )
    }
  }

  private func remedy(_ error: SystemCallError) -> String {
    switch error.code {
    case .notPermitted: "; it belongs to another user"
    case .invalidArgument: "; see Cpus_allowed_list in /proc/\(process)/status"
    default: ""
    }
  }

  private static func threads(of process: Int32) -> [Int32] {
    let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")
    return (names ?? []).compactMap { Int32($0) }
  }
}
