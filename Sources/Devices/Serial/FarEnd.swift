public import VFIOUserTransport

/// What the serial port's cable leads to.
public enum FarEnd: Sendable {
  /// A terminal device that a program like `screen` or `picocom` opens.
  case pseudoTerminal(PseudoTerminal)
  /// Two byte streams, standard input and output for example.
  case streams(StreamPair)
  /// A UNIX socket. One program is connected at a time; the next one waits until it has gone. Bytes
  /// for which there was no program yet are kept for the next one, up to the bound of the port's
  /// buffer; what the kernel had taken over for a program that then left is gone with it.
  case socket(ListeningSocket)
}
