public import SystemPackage

/// Why an operation of the client failed, and where.
///
/// Errors are equal when their reasons are, wherever they have come from.
public struct ClientError: Error, Equatable, Sendable {
  /// What went wrong.
  @nonexhaustive
  public enum Reason: Equatable, Sendable {
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

  /// What went wrong.
  public let reason: Reason
  /// Where; a class, since an error is handed on through many places that nothing happens in.
  private let place: Place?

  package init(_ reason: Reason) { self.init(reason, nil) }

  private init(_ reason: Reason, _ place: Place?) {
    self.reason = reason
    self.place = place
  }

  /// Compares the reasons.
  public static func == (one: ClientError, other: ClientError) -> Bool {
    one.reason == other.reason
  }
}

// MARK: Where

extension ClientError {
  private final class Place: Sendable {
    let path: FilePath?
    let access: RegionAccess?

    init(_ path: FilePath?, _ access: RegionAccess?) {
      self.path = path
      self.access = access
    }
  }

  /// The device's socket, if the client could not connect to it.
  public var path: FilePath? { place?.path }

  /// The access to a region that failed; one message, which may be a part of a longer access.
  public var access: RegionAccess? { place?.access }

  /// The region that it is about.
  public var region: RegionIndex? {
    switch reason {
    case .unmappable(let region, _), .notMapped(let region, _, _), .truncatedMapping(let region, _):
      region
    default: access?.region
    }
  }

  /// Where in the region.
  public var offset: UInt64? {
    switch reason {
    case .notMapped(_, let offset, _), .truncatedMapping(_, let offset): offset
    default: access?.offset
    }
  }

  /// The command that failed.
  public var command: Command? {
    switch reason {
    case .refused(let command, _), .malformedReply(let command, _),
      .implausibleReply(let command, _), .timedOut(let command):
      command
    default: nil
    }
  }

  /// What the device, or the kernel, has said.
  public var errno: Errno? {
    switch reason {
    case .refused(_, let errno): errno
    case .system(let error): error.code
    default: nil
    }
  }

  /// The same at a device's socket.
  func at(_ path: FilePath) -> ClientError { ClientError(reason, Place(path, access)) }

  /// The same of an access to a region.
  func at(_ access: RegionAccess) -> ClientError { ClientError(reason, Place(path, access)) }
}

extension ClientError: CustomStringConvertible {
  /// A sentence that names the cause, and the access to a region if it was one.
  public var description: String {
    guard let access else { return reason.description }
    return "\(reason) (\(access.count) bytes at \(access.offset) of \(access.region))"
  }
}

extension ClientError.Reason: CustomStringConvertible {
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
