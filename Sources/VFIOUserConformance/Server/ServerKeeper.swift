internal import CLinux
internal import LinuxPrimitives
package import SystemPackage

/// Keeps a server running that ends when its client goes, or because of a check.
package final class ServerKeeper: @unchecked Sendable {
  // Sound: used by the thread that runs the suite only.
  private let launcher: any ClientLauncher
  private let path: FilePath
  private var process: (any RunningClient)?
  /// How often the server was started.
  private(set) var starts = 0

  package init(_ launcher: any ClientLauncher, at path: FilePath) {
    self.launcher = launcher
    self.path = path
  }

  /// Whether the server that was started last is not there any more.
  package var hasEnded: Bool { process?.exitCode != nil }

  /// Starts the server, unless it runs.
  package func revive() {
    guard process == nil || hasEnded else { return }
    // Some servers refuse a socket that is there already.
    if FileInfo.isSocket(path) { _ = unsafe clinux_unlink(path.string) }
    process = try? launcher.start()
    starts += 1
  }

  /// Ends the server.
  package func end() { process?.end() }
}

/// What is at a path.
enum FileInfo {
  static func isSocket(_ path: FilePath) -> Bool {
    var identity = clinux_identity()
    return unsafe clinux_identify(path.string, &identity) == 0 && identity.is_socket != 0
  }

  static func pause() { _ = clinux_poll(nil, 0, 5_000_000) }
}
