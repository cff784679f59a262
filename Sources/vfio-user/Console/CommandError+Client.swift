import ArgumentParser
import FoundationEssentials
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

extension CommandError {
  private static func isSocket(_ path: String) -> Bool {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return attributes?[.type] as? FileAttributeType == .typeSocket
  }

  /// Creates the error for a device at `path` that cannot be reached, or does not work.
  ///
  /// - Parameters:
  ///   - path: the path of its socket.
  ///   - example: arguments of `vfio-user serve` that would serve such a device there.
  ///   - wasReached: whether the device has answered before.
  init(_ error: ClientError, device path: String, example: String, wasReached: Bool) {
    switch error.reason {
    case .disconnected where wasReached:
      self.init(
        "the device at \(path) is gone: its process has ended, or has closed the connection (\(error))."
      )
    case .system(let failure) where failure.code == .noSuchFileOrDirectory:
      self.init(
        "there is no socket at \(path). Start a device there first: vfio-user serve \(example)")
    case .system(let failure) where failure.code == .connectionRefused && !Self.isSocket(path):
      self.init("\(path) is not a socket.")
    case .system(let failure) where failure.code == .connectionRefused:
      self.init(
        "nobody listens on \(path): its device process has ended. Start it again; it replaces the stale socket."
      )
    case .system(let failure) where failure.code == .permissionDenied:
      self.init(
        "you may not connect to \(path). Ask its owner, or serve it with --mode 660 and a common group."
      )
    case .system(let failure) where failure.code == .notSocket:
      self.init("\(path) is not a socket.")
    case .refused(.version, .resourceBusy):
      self.init("the device at \(path) has a client already; it serves one at a time.")
    case .refused(.version, .protocolNotSupported), .negotiationFailed:
      self.init("\(error). This program speaks vfio-user 0.1; is the peer of another version?")
    case .disconnected(.closedByPeer):
      self.init("the peer at \(path) closed the connection; is it a vfio-user device?")
    case .timedOut(let command):
      self.init(
        "the device at \(path) has not answered \(command) in time; see whether its process hangs or is stopped."
      )
    default:
      self.init("\(path): \(error)")
    }
  }
}
