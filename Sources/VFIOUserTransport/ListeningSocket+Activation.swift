internal import CLinux
internal import Glibc

extension ListeningSocket {
  /// First inherited descriptor (`SD_LISTEN_FDS_START`).
  private static let firstInherited: Int32 = 3
  /// Upper bound for the number of inherited sockets; no real unit has as many.
  private static let maxInherited: Int32 = 256

  /// Returns the sockets passed by systemd socket activation, or by a supervisor with the same
  /// protocol.
  ///
  /// `LISTEN_FDS` is the number of sockets from descriptor 3 on, `LISTEN_PID` the process they are
  /// meant for, and `LISTEN_FDNAMES` their names.
  ///
  /// Call it once, early: it takes ownership of the descriptors and closes those that do not
  /// listen.
  ///
  /// - Parameter variable: returns the value of an environment variable.
  /// - Returns: an empty array if no socket was passed to this process.
  /// - Throws: the first error, after all descriptors have been looked at.
  public static func activated(
    _ variable: (String) -> String? = environmentVariable
  ) throws(ListenError) -> [ListeningSocket] {
    try activated(from: firstInherited, variable)
  }

  /// As ``activated(_:)``, with another first descriptor.
  package static func activated(
    from first: Int32, _ variable: (String) -> String?
  ) throws(ListenError) -> [ListeningSocket] {
    let count = handedOverCount(variable)
    // Empty names are kept, so that the others stay with their sockets.
    let names = (variable("LISTEN_FDNAMES") ?? "")
      .split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    var sockets: [ListeningSocket] = []
    var failure: ListenError?
    for place in 0..<count {
      let number = first + Int32(place)
      let name = place < names.count && !names[place].isEmpty ? names[place] : nil
      do throws(ListenError) {
        guard clinux_set_close_on_exec(number) == 0 else { throw .notListening(number) }
        sockets.append(
          try ListeningSocket(adopting: OwnedDescriptor(adopting: number), name: name))
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return sockets
  }

  /// Number of sockets passed to this process; 0 if they are meant for another process.
  public static func handedOverCount(
    _ variable: (String) -> String? = environmentVariable
  ) -> Int {
    guard let process = variable("LISTEN_PID").flatMap({ Int32($0) }),
      process == clinux_process_id(),
      let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), 1...maxInherited ~= count
    else { return 0 }
    return Int(count)
  }

  /// The value of an environment variable of this process.
  public static func environmentVariable(_ name: String) -> String? {
    // Sound: a starting server does not change its environment; the value is copied at once.
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }
}
