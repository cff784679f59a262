/// The far end of the serial port's cable.
@nonexhaustive
public enum FarEnd: Sendable {
  /// A terminal device that a program like `screen` or `picocom` opens.
  case pseudoTerminal(PseudoTerminal)
  /// Two byte streams, standard input and output for example.
  case streams(StreamPair)
  /// A UNIX socket on which one program at a time is connected; the next one waits until it has
  /// disconnected.
  ///
  /// While no program is connected, output is kept for the next one, up to the capacity of the
  /// port's buffer. Bytes in the kernel's buffer of a program that disconnects are lost.
  case socket(ListeningSocket)
}
