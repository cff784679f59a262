public import SystemPackage

/// Why and where an operation of the client failed.
///
/// Two errors are equal if their reasons are equal.
public struct ClientError: Error, Equatable, Sendable {
  /// The reasons; later versions may add cases, so switch with a `default`.
  @nonexhaustive
  public enum Reason: Equatable, Sendable {
    /// The server refused the command with an errno; the connection is usable.
    case refused(Command, Errno)
    /// The server's reply does not have the form that the command requires; the connection is usable.
    case malformedReply(Command, WireError)
    /// The server's reply is well formed, but its values are impossible.
    case implausibleReply(Command, String)
    /// Version or capabilities do not match; the text has the details.
    case negotiationFailed(String)
    /// No reply came in time.
    case timedOut(Command)
    /// A DMA window was refused before a message was sent; the text has the reason.
    case badWindow(String)
    /// A range of interrupts was refused before a message was sent; the text has the reason.
    case badRange(String)
    /// A region cannot be mapped as the device describes it; the text has the reason.
    case unmappable(RegionIndex, String)
    /// The bytes do not lie in one mapped area that permits the access.
    case notMapped(RegionIndex, offset: UInt64, count: Int)
    /// The device has truncated the file behind a mapped region.
    case truncatedMapping(RegionIndex, offset: UInt64)
    /// After a reconnection the device is another one than before.
    case deviceChanged
    /// The task was cancelled.
    case cancelled
    /// A migration was given up because the device would have been stopped for longer than allowed.
    case downtimeExceeded(Duration, limit: Duration)
    /// 65,535 commands wait for their replies, so no message ID is free.
    case tooManyInFlight
    /// A process listens at the device's path, but has not accepted the connection for this time.
    case notAccepting(within: Duration)
    /// The connection is lost.
    case disconnected(StreamError)
    /// A system call failed.
    case system(SystemCallError)
  }

  /// The reason.
  public let reason: Reason
  /// Where it happened; a class, so that an error is small.
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

  /// The access to a region that failed: one message, which may be a part of a longer access.
  public var access: RegionAccess? { place?.access }

  /// The region of the failed operation.
  public var region: RegionIndex? {
    switch reason {
    case .unmappable(let region, _), .notMapped(let region, _, _), .truncatedMapping(let region, _):
      region
    default: access?.region
    }
  }

  /// The offset in the region.
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

  /// The errno of the device or the kernel.
  public var errno: Errno? {
    switch reason {
    case .refused(_, let errno): errno
    case .system(let error): error.code
    default: nil
    }
  }

  /// The same error, with the path of the device's socket.
  func at(_ path: FilePath) -> ClientError { ClientError(reason, Place(path, access)) }

  /// The same error, with an access to a region.
  func at(_ access: RegionAccess) -> ClientError { ClientError(reason, Place(path, access)) }
}

extension ClientError: CustomStringConvertible {
  /// A sentence with the cause, and with the access to a region if there is one.
  public var description: String {
    guard let access else { return reason.description }
    return
      "\(reason) (\(access.count) bytes at \(Self.hexadecimal(access.offset)) of \(access.region))"
  }
}

extension ClientError {
  /// An offset as data sheets have it.
  fileprivate static func hexadecimal(_ offset: UInt64) -> String {
    "0x\(String(offset, radix: 16))"
  }
}

extension ClientError.Reason: CustomStringConvertible {
  /// A sentence with the cause.
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
      "\(count) bytes at \(ClientError.hexadecimal(offset)) of \(region) are not mapped for this access"
    case .truncatedMapping(let region, let offset):
      "the device has truncated the file behind \(region), at or below \(ClientError.hexadecimal(offset))"
    case .deviceChanged: "another device answered after the reconnection"
    case .cancelled: "cancelled"
    case .downtimeExceeded(let time, let limit):
      "the device was stopped for \(time), at most \(limit) are allowed; it runs on where it was"
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
  /// The errno of an error reply; a peer may send 0.
  init(peer number: UInt32) {
    self.init(rawValue: number == 0 ? Errno.ioError.rawValue : CInt(clamping: number))
  }
}
