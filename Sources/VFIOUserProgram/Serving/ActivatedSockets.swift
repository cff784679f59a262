internal import CLinux
internal import LinuxPrimitives
internal import VFIOUserServer

/// The sockets passed to this process by systemd socket activation, each for one device.
enum ActivatedSockets {
  private static let sockets = Monitor<[ListeningSocket]?>(nil)

  /// Whether a descriptor is one of the activated sockets.
  static func holds(_ number: Int32) -> Bool {
    3..<3 + ListeningSocket.handedOverCount() ~= Int(number)
  }

  /// Takes the socket with a name, or the only one.
  ///
  /// - Throws: ``CommandError`` with cause and remedy.
  static func take(named name: String?) throws -> ListeningSocket {
    try take { sockets in
      guard let name else {
        guard sockets.count == 1 else {
          throw CommandError(
            "systemd handed over \(sockets.count) sockets, \(listed(sockets)): say which one with --systemd-name."
          )
        }
        return 0
      }
      guard let place = sockets.firstIndex(where: { $0.name == name }) else {
        throw CommandError(
          "systemd handed over no socket '\(name)', but \(listed(sockets)). FileDescriptorName= in a .socket unit names its sockets."
        )
      }
      return place
    }
  }

  /// Takes the socket with a descriptor number.
  static func take(_ number: Int32) throws -> ListeningSocket {
    try take { sockets in
      guard let place = sockets.firstIndex(where: { $0.descriptor.number == number }) else {
        throw CommandError("descriptor \(number) belongs to another device already.")
      }
      return place
    }
  }

  /// Reports sockets that no device uses: clients that connect to them would wait forever.
  static func noteUnused() {
    for socket in sockets.withLock({ $0 ?? [] }) {
      note(
        "no device uses the socket '\(socket.name ?? "")' (descriptor \(socket.descriptor.number)) that systemd handed over."
      )
    }
  }

  private static func take(_ choose: ([ListeningSocket]) throws -> Int) throws -> ListeningSocket {
    try sockets.withLock { state in
      var sockets = try state ?? takeOver()
      defer { state = sockets }
      return sockets.remove(at: try choose(sockets))
    }
  }

  private static func takeOver() throws -> [ListeningSocket] {
    guard ListeningSocket.handedOverCount() > 0 else { throw nothing() }
    do {
      return try ListeningSocket.activated()
    } catch {
      throw CommandError(
        "\(error) In the .socket unit use ListenStream= with the path of a UNIX socket, and Accept=no."
      )
    }
  }

  private static func nothing() -> CommandError {
    guard let process = ListeningSocket.environmentVariable("LISTEN_PID"),
      process != String(clinux_process_id())
    else {
      return CommandError(
        "systemd handed over no socket: LISTEN_FDS and LISTEN_PID are not set for this process. Give its service a .socket unit of the same name, or use --socket PATH."
      )
    }
    return CommandError(
      "systemd handed its sockets to process \(process), and this is process \(clinux_process_id()). Start this program by ExecStart= itself; a shell in between has to exec it."
    )
  }

  private static func listed(_ sockets: [ListeningSocket]) -> String {
    guard !sockets.isEmpty else { return "none that is left" }
    return sockets.map { "'\($0.name ?? "")'" }.joined(separator: ", ")
  }
}
