internal import Glibc

/// What a server is asked for (NBD protocol, "Request types"), and where the data is.
@unsafe
enum NBDCommand {
  case read(UnsafeMutableRawPointer)
  case write(UnsafeRawPointer, isDurable: Bool)
  case flush
  case trim(isDurable: Bool)
  case zero(mayDeallocate: Bool, isDurable: Bool)

  /// The type of the request.
  enum Kind: UInt16 {
    case read = 0
    case write = 1
    case disconnect = 2
    case flush = 3
    case trim = 4
    case zero = 6

    var changesBlocks: Bool { self == .write || self == .trim || self == .zero }
  }

  var kind: Kind {
    switch unsafe self {
    case .read: .read
    case .write: .write
    case .flush: .flush
    case .trim: .trim
    case .zero: .zero
    }
  }

  /// NBD_CMD_FLAG_FUA and NBD_CMD_FLAG_NO_HOLE.
  var flags: UInt16 {
    switch unsafe self {
    case .read, .flush: 0
    case .write(_, let isDurable), .trim(let isDurable): unsafe isDurable ? Self.durable : 0
    case .zero(let mayDeallocate, let isDurable):
      unsafe (isDurable ? Self.durable : 0) | (mayDeallocate ? 0 : Self.noHole)
    }
  }

  private static let durable: UInt16 = 1 << 0
  private static let noHole: UInt16 = 1 << 1
}

/// How commands get to a server, and its replies back.
///
/// Belongs to the controller's thread. A command is known by a place from 0 to ``NBDConnection/mostCommands`` - 1, which
/// is the command's until its end was reported.
protocol NBDTransport: AnyObject {
  /// The socket, for a poll; open for as long as this exists.
  var descriptor: Int32 { get }
  /// The events of the socket to wait for, as for `clinux_poll`.
  var wanted: Int16 { get }
  /// Why it is of no more use: an errno, or 1 if that is not known; 0 while it goes on.
  var failure: Int32 { get }
  /// Whether the server has said its last, or what it says is not understood: no more replies come.
  var isSilent: Bool { get }
  /// Whether the server has commands that change blocks, and has not answered them.
  var isChanging: Bool { get }
  /// Whether the server has a write in part.
  var isCut: Bool { get }
  /// Whether receiving tells whether there is anything, so that nobody has to poll before.
  var needsPoll: Bool { get }

  /// Takes a command over; it may be sent with the next ``send()`` only.
  ///
  /// - Returns: false when it was not begun.
  func begin(_ command: NBDCommand, count: UInt64, offset: UInt64, at place: Int) -> Bool

  /// Sends what was begun, as far as the socket takes it.
  func send()

  /// Takes what has come, after events of the socket.
  ///
  /// - Parameter end: hears the places of commands that have ended, and how: 0, or an errno that a server may answer with
  ///   (NBD protocol, "Error values"), or EFAULT when the memory of a read was gone. No command may be begun in there.
  /// - Returns: whether anything had come.
  func receive(_ events: Int16, _ end: (Int, Int32) -> Void) -> Bool

  /// Nobody wants the replies any more, and the memory of commands is not touched again unless ``usesMemory`` says so;
  /// what was not sent need not be.
  func giveUp()

  /// Whether the memory of commands is used after ``giveUp()`` too; it is none of a client's then.
  var usesMemory: Bool { get }

  /// Says goodbye, so that the server does not take the end for a failure.
  func sayGoodbye()

  /// Ends the connection at once.
  func close()
}

/// The errors that a server may answer with (NBD protocol, "Error values"), which are Linux's numbers.
enum NBDReplyError {
  static func isKnown(_ number: Int32) -> Bool {
    switch number {
    case EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN: true
    default: false
    }
  }
}
