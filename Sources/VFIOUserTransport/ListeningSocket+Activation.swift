internal import CLinux
internal import Glibc

extension ListeningSocket {
  /// First descriptor that a supervisor hands over (`SD_LISTEN_FDS_START`).
  private static let firstInherited: Int32 = 3
  /// More sockets than any unit has.
  private static let maxInherited: Int32 = 256

  /// The sockets that systemd, or another supervisor that does it the same way, hands over: in
  /// `LISTEN_FDS` how many there are from descriptor 3 on, in `LISTEN_PID` for which process, and in
  /// `LISTEN_FDNAMES` what they are called.
  ///
  /// To be called once, early: the descriptors are taken over, and closed when they do not listen.
  ///
  /// - Parameter variable: gives the value of a variable of the environment.
  /// - Returns: none when nothing was handed to this process.
  public static func activated(
    _ variable: (String) -> String? = environmentVariable
  ) throws(ListenError) -> [ListeningSocket] {
    try activated(from: firstInherited, variable)
  }

  /// The same with another first descriptor.
  package static func activated(
    from first: Int32, _ variable: (String) -> String?
  ) throws(ListenError) -> [ListeningSocket] {
    let count = handedOverCount(variable)
    // Empty names count, so that the others stay with their sockets.
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

  /// How many sockets a supervisor has handed to this process; 0 when they are for another one.
  public static func handedOverCount(
    _ variable: (String) -> String? = environmentVariable
  ) -> Int {
    guard let process = variable("LISTEN_PID").flatMap({ Int32($0) }),
      process == clinux_process_id(),
      let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), 1...maxInherited ~= count
    else { return 0 }
    return Int(count)
  }

  /// The value of a variable of this process's environment.
  public static func environmentVariable(_ name: String) -> String? {
    // Sound: nobody changes the environment of a server that starts; the value is copied at once.
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }
}
