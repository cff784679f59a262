public import SystemPackage

/// Errors of each reason, of which it is not known where they happened.
extension ClientError {
  /// The server answered with an errno; the connection is in order.
  public static func refused(_ command: Command, _ errno: Errno) -> ClientError {
    ClientError(.refused(command, errno))
  }
  /// The server's reply cannot be what the command asked for; the connection is in order.
  public static func malformedReply(_ command: Command, _ error: WireError) -> ClientError {
    ClientError(.malformedReply(command, error))
  }
  /// The server's reply is well formed and says something that cannot be.
  public static func implausibleReply(_ command: Command, _ why: String) -> ClientError {
    ClientError(.implausibleReply(command, why))
  }
  /// The two sides could not agree on a version and capabilities; the text says on what.
  public static func negotiationFailed(_ why: String) -> ClientError {
    ClientError(.negotiationFailed(why))
  }
  /// No reply came in time.
  public static func timedOut(_ command: Command) -> ClientError {
    ClientError(.timedOut(command))
  }
  /// A memory window was refused before anything was sent; the text says why.
  public static func badWindow(_ why: String) -> ClientError {
    ClientError(.badWindow(why))
  }
  /// A range of interrupts was refused before anything was sent; the text says why.
  public static func badRange(_ why: String) -> ClientError {
    ClientError(.badRange(why))
  }
  /// What the device says of a region cannot be mapped; the text says why.
  public static func unmappable(_ region: RegionIndex, _ why: String) -> ClientError {
    ClientError(.unmappable(region, why))
  }
  /// The bytes are not inside of one mapped area that allows the access.
  public static func notMapped(_ region: RegionIndex, offset: UInt64, count: Int) -> ClientError {
    ClientError(.notMapped(region, offset: offset, count: count))
  }
  /// The device has truncated the file behind a mapped region.
  public static func truncatedMapping(_ region: RegionIndex, offset: UInt64) -> ClientError {
    ClientError(.truncatedMapping(region, offset: offset))
  }
  /// After a reconnection another device answered than before.
  public static let deviceChanged = ClientError(.deviceChanged)
  /// The task that asked was cancelled.
  public static let cancelled = ClientError(.cancelled)
  /// 65,535 commands wait for their replies, as many as there are identifiers.
  public static let tooManyInFlight = ClientError(.tooManyInFlight)
  /// Somebody listens at the device's path and has accepted nobody for as long.
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
