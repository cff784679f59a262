internal import LinuxPrimitives
internal import CLinux

/// An input and an output stream: standard input and output, pipes, sockets, files, terminals.
///
/// The flags of the streams' open file descriptions are not changed, since other processes may
/// share them; nevertheless the port never blocks in a read or write. The end of the input does not
/// end the device. Output that can never be read (the reader of a pipe has gone) is discarded.
public final class StreamPair: Sendable {
  let input: ByteStream
  let output: ByteStream
  private let isTerminalOurs: Bool

  /// What the terminal's signal keys do (`^C`, `^\`, `^Z`).
  public enum SignalKeys: Sendable {
    /// They send signals to this process, as usual.
    case interrupt
    /// They are passed to the guest like all other keys.
    case passToGuest
  }

  /// Duplicates two descriptors, which remain the caller's and may be closed.
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
  /// If the input is a terminal, its keys are passed to the guest individually and not echoed; this
  /// is undone when the last reference is released and when the process exits. Output processing of
  /// the terminal is unchanged, because others write to it too.
  ///
  /// - Parameters:
  ///   - keys: whether signal keys are passed to the guest.
  /// - Throws: `EBADF` if one of the two is closed, `EBUSY` if they are already in use.
  public static func standard(
    signalKeys keys: SignalKeys = .interrupt
  ) throws(SystemCallError) -> StreamPair {
    try StreamPair(standard: keys)
  }
}
