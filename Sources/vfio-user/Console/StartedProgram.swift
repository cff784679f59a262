import CLinux
import Glibc
import LinuxPrimitives
import SystemPackage
import VFIOUserProgram

/// A program that this one has started; it is killed with the last reference.
final class StartedProgram: Sendable {
  /// What a standard descriptor of the child is.
  enum Stream {
    case null
    /// A descriptor of this process.
    case same(Int32)

    var number: Int32 {
      switch self {
      case .null: -1
      case .same(let number): number
      }
    }
  }

  /// The process ID; another process may have it once this one has ended and was asked for its exit code.
  let number: Int32
  /// The exit code, or minus the number of the signal that has ended it; nil until somebody has seen its end.
  private let ending = Monitor<Int32?>(nil)

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - path: of its file; nil for the program that this process runs.
  ///   - arguments: those behind its name.
  init(
    _ path: String? = nil, arguments: [String], input: Stream, output: Stream,
    errors: Stream = .same(STDERR_FILENO)
  ) throws(Errno) {
    let file = path ?? OwnProgram.present ?? "/proc/self/exe"
    var list = unsafe ([file] + arguments).map { unsafe strdup($0) } + [nil]
    let streams = [input.number, output.number, errors.number]
    // Sound: the list ends with nil, the streams are three, and both are lent for the call, which copies them.
    let child = unsafe clinux_start_program(file, &list, streams)
    while unsafe !list.isEmpty { unsafe free(list.removeLast()) }
    guard child > 0 else { throw Errno(rawValue: -child) }
    number = child
  }

  deinit { kill() }

  /// The exit code, or minus the number of the signal that has ended it; nil while it runs.
  var exitCode: Int32? {
    ending.withLock { end in
      if end == nil {
        var status: Int32 = 0
        // Sound: the number is lent for the call.
        let ended = unsafe clinux_child_ended(number, &status)
        if ended != 0 { end = ended == 1 ? clinux_exit_code(status) : -1 }
      }
      return end
    }
  }

  /// Asks it to end (SIGTERM), and waits until it has.
  func terminate() { finish(SIGTERM) }

  /// Kills it (SIGKILL), and waits until it has ended.
  func kill() { finish(SIGKILL) }

  private func finish(_ signal: Int32) {
    // Its number stays its own until `exitCode` has seen the end.
    if exitCode == nil { _ = Glibc.kill(number, signal) }
    while exitCode == nil { usleep(1000) }
  }
}
