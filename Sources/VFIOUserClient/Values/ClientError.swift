public import SystemPackage
public import VFIOUserProtocol
public import VFIOUserTransport

/// Why an operation of the client failed.
public enum ClientError: Error, Equatable, Sendable {
  /// The server answered with an errno; the connection is in order.
  case refused(Command, Errno)
  /// The server's reply cannot be what the command asked for; the connection is in order.
  case malformedReply(Command, WireError)
  /// The server's reply is well formed and says something that cannot be.
  case implausibleReply(Command, String)
  /// The two sides could not agree on a version and capabilities; the text says on what.
  case negotiationFailed(String)
  /// No reply came in time.
  case timedOut(Command)
  /// A memory window was refused before anything was sent; the text says why.
  case badWindow(String)
  /// A range of interrupts was refused before anything was sent; the text says why.
  case badRange(String)
  /// What the device says of a region cannot be mapped; the text says why.
  case unmappable(RegionIndex, String)
  /// The bytes are not inside of one mapped area that allows the access.
  case notMapped(RegionIndex, offset: UInt64, count: Int)
  /// The device has truncated the file behind a mapped region.
  case truncatedMapping(RegionIndex, offset: UInt64)
  /// After a reconnection another device answered than before.
  case deviceChanged
  /// The task that asked was cancelled.
  case cancelled
  /// 65,535 commands wait for their replies, as many as there are identifiers.
  case tooManyInFlight
  /// Somebody listens at the device's path and has accepted nobody for as long.
  case notAccepting(within: Duration)
  /// The connection is lost.
  case disconnected(StreamError)
  /// A system call failed.
  case system(SystemCallError)
}

extension ClientError: CustomStringConvertible {
  /// A sentence that names the cause.
  public var description: String {
    switch self {
    case .refused(let command, let errno): "the device refused \(command): \(errno.description)"
    case .malformedReply(let command, let error): "the reply to \(command) is malformed: \(error)"
    case .implausibleReply(let command, let what): "the reply to \(command) cannot be: \(what)"
    case .negotiationFailed(let what): "no agreement with the device: \(what)"
    case .timedOut(let command): "no reply to \(command) in time"
    case .badWindow(let why): "the memory window is refused: \(why)"
    case .badRange(let why): "the interrupts are refused: \(why)"
    case .unmappable(let region, let why): "\(region) cannot be mapped: \(why)"
    case .notMapped(let region, let offset, let count):
      "\(count) bytes at \(offset) of \(region) are not mapped for this access"
    case .truncatedMapping(let region, let offset):
      "the device has truncated the file behind \(region), at or below \(offset)"
    case .deviceChanged: "another device answered after the reconnection"
    case .cancelled: "cancelled"
    case .tooManyInFlight: "too many commands wait for their replies"
    case .notAccepting(let time):
      "the device accepts no connection: its queue stayed full for \(time). See whether its process "
        + "hangs or is stopped, and whether other clients wait for it"
    case .disconnected(let failure): "connection lost: \(failure)"
    case .system(let failure): failure.description
    }
  }
}

extension Errno {
  /// What a peer wrote into an error reply; it may leave the number out.
  init(peer number: UInt32) {
    self.init(rawValue: number == 0 ? Errno.ioError.rawValue : CInt(clamping: number))
  }
}
