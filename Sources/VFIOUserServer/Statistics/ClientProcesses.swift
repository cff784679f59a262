internal import LinuxPrimitives
internal import CLinux
internal import Glibc

/// The processes that are clients of this process's devices, or were and have not ended yet.
///
/// A client that has closed its connection is no more to be trusted than before.
package final class ClientProcesses: Sendable {
  /// A process, with what tells it from a later one of the same number.
  package struct Entry: Codable, Equatable, Sendable {
    package let process: Int32
    /// The kernel's number of it with bit 62 set, where there is one; else when it began; nil if that is not
    /// known.
    package let began: UInt64?

    private static let isNumber: UInt64 = 1 << 62

    /// Whether it may still be there.
    fileprivate var isThere: Bool {
      guard let began else { return true }
      if began & Self.isNumber != 0 { return Self.number(of: process) == began }
      let ticks = clinux_process_beginning(process)
      // In a sandbox /proc has no other process: who was known before cannot be told from a later one.
      return ticks == -Int64(EACCES) || ticks == Int64(clamping: began)
    }

    init(_ process: Int32) {
      self.process = process
      let ticks = clinux_process_beginning(process)
      began = Self.number(of: process) ?? (ticks < 0 ? nil : UInt64(ticks))
    }

    private static func number(of process: Int32) -> UInt64? {
      let inode = clinux_process_inode(process)
      return inode < 0 ? nil : UInt64(inode) | isNumber
    }
  }

  /// Those of this process.
  package static let ofThisProcess = ClientProcesses()

  /// How many are remembered.
  static let limit = 256

  private let known = Monitor<[Entry]>([])

  /// For another version of the program.
  package var entries: [Entry] { known.withLock { $0 } }

  package init() {}

  /// Takes over what the program before this one knew.
  package func load(_ entries: [Entry]) {
    known.withLock { $0 = Array(entries.suffix(Self.limit)) }
  }

  /// Adds what another process of ours knows.
  package func add(_ entries: [Entry]) {
    known.withLock { known in
      let new = entries.suffix(Self.limit).filter { !known.contains($0) && $0.isThere }
      known = Array((known.filter(\.isThere) + new).suffix(Self.limit))
    }
  }

  /// A process has become a client.
  package func add(_ process: Int32) {
    let entry = Entry(process)
    known.withLock { known in
      guard !known.contains(entry) else { return }
      known = Array((known.filter(\.isThere) + [entry]).suffix(Self.limit))
    }
  }

  /// Whether a process is or was a client.
  package func contains(_ process: Int32) -> Bool {
    entries.contains { $0.process == process && $0.isThere }
  }
}
