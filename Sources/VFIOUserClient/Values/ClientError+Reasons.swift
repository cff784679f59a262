public import SystemPackage

/// Errors of each reason, without a place.
extension ClientError {
  /// The server refused the command with an errno; the connection is usable.
  public static func refused(_ command: Command, _ errno: Errno) -> ClientError {
    ClientError(.refused(command, errno))
  }
  /// The server's reply does not have the form that the command requires; the connection is usable.
  public static func malformedReply(_ command: Command, _ error: WireError) -> ClientError {
    ClientError(.malformedReply(command, error))
  }
  /// The server's reply is well formed, but its values are impossible.
  public static func implausibleReply(_ command: Command, _ why: String) -> ClientError {
    ClientError(.implausibleReply(command, why))
  }
  /// Version or capabilities do not match; the text has the details.
  public static func negotiationFailed(_ why: String) -> ClientError {
    ClientError(.negotiationFailed(why))
  }
  /// No reply came in time.
  public static func timedOut(_ command: Command) -> ClientError {
    ClientError(.timedOut(command))
  }
  /// A DMA window was refused before a message was sent; the text has the reason.
  public static func badWindow(_ why: String) -> ClientError {
    ClientError(.badWindow(why))
  }
  /// A range of interrupts was refused before a message was sent; the text has the reason.
  public static func badRange(_ why: String) -> ClientError {
    ClientError(.badRange(why))
  }
  /// A region cannot be mapped as the device describes it; the text has the reason.
  public static func unmappable(_ region: RegionIndex, _ why: String) -> ClientError {
    ClientError(.unmappable(region, why))
  }
  /// The bytes do not lie in one mapped area that permits the access.
  public static func notMapped(_ region: RegionIndex, offset: UInt64, count: Int) -> ClientError {
    ClientError(.notMapped(region, offset: offset, count: count))
  }
  /// The device has truncated the file behind a mapped region.
  public static func truncatedMapping(_ region: RegionIndex, offset: UInt64) -> ClientError {
    ClientError(.truncatedMapping(region, offset: offset))
  }
  /// After a reconnection the device is another one than before.
  public static let deviceChanged = ClientError(.deviceChanged)
  /// The task was cancelled.
  public static let cancelled = ClientError(.cancelled)
  /// A migration was given up because the device would have been stopped for longer than allowed.
  public static func downtimeExceeded(_ time: Duration, limit: Duration) -> ClientError {
    ClientError(.downtimeExceeded(time, limit: limit))
  }
  /// 65,535 commands wait for their replies, so no message ID is free.
  public static let tooManyInFlight = ClientError(.tooManyInFlight)
  /// A process listens at the device's path, but has not accepted the connection for this time.
  public static func notAccepting(within time: Duration) -> ClientError {
    ClientError(.notAccepting(within: time))
  }
  /// The connection is lost.
  public static func disconnected(_ reason: StreamError) -> ClientError {
    ClientError(.disconnected(reason))
  }
  /// A system call failed.
  public static func system(_ error: SystemCallError) -> ClientError {
    ClientError(.system(error))
  }
}
