internal import CLinux
public import VFIOUserTransport

/// A stream that the port reads from and one that it writes to: standard input and output, pipes,
/// sockets, files, terminals.
///
/// The flags of the streams' file descriptions are left alone, since other processes may share them;
/// in spite of that the port never waits in a read or a write. The end of the input does not end the
/// device. When nobody will ever read the output (the reader of a pipe has gone), it is thrown away.
public final class StreamPair: Sendable {
  let input: ByteStream
  let output: ByteStream
  private let isTerminalOurs: Bool

  /// What the keys do that interrupt and suspend at a terminal (`^C`, `^\`, `^Z`).
  public enum SignalKeys: Sendable {
    /// They interrupt this process, as usual.
    case interrupt
    /// They go to the guest like all other keys.
    case passToGuest
  }

  /// Uses the streams behind two descriptors, which stay the caller's and may be closed.
  public init(
    input: borrowing OwnedDescriptor, output: borrowing OwnedDescriptor
  ) throws(SystemCallError) {
    self.input = try .shared(input.number)
    self.output = try .shared(output.number)
    isTerminalOurs = false
  }

  private init(standard keys: SignalKeys) throws(SystemCallError) {
    input = try .shared(0)
    output = try .shared(1)
    isTerminalOurs =
      try checked("tcsetattr", clinux_terminal_make_raw(0, keys == .interrupt ? 1 : 0)) == 1
  }

  deinit {
    if isTerminalOurs { clinux_terminal_restore() }
  }

  /// Standard input and output of this process.
  ///
  /// If the input is a terminal, its keys reach the guest one by one and are not echoed; that is
  /// undone when the last reference goes and when the process exits. Output processing of the
  /// terminal stays as it is, for the sake of everybody else who writes to it.
  ///
  /// - Parameters:
  ///   - keys: who gets the keys that interrupt.
  /// - Throws: `EBADF` when one of the two is closed, `EBUSY` when they are in use already.
  public static func standard(
    signalKeys keys: SignalKeys = .interrupt
  ) throws(SystemCallError) -> StreamPair {
    try StreamPair(standard: keys)
  }
}
