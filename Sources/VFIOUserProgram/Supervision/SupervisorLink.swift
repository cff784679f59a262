internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// What a device process knows of its supervisor: who it is, and where to say that the device is ready.
///
/// It stands in the environment, also for later versions of the program: `PID`, and at first `PID:DESCRIPTOR`.
enum SupervisorLink {
  private struct Link {
    let process: Int32
    /// The pipe for the report, once.
    var descriptor: Int32?

    var hasReported: Link { Link(process: process, descriptor: nil) }
  }

  private static let link = Monitor<Link?>(nil)

  /// Whether this process serves for a supervisor.
  static var isThere: Bool { link.withLock { $0 != nil } }

  /// Looks whether there is a supervisor, and ends with it from now on.
  ///
  /// Call it on the main thread, before there are others. A process that tries an upgrade out has the variable, and
  /// another parent.
  static func adopt() {
    let name = CLINUX_SUPERVISOR_VARIABLE
    // Sound: nothing else runs yet; the value is copied at once.
    guard let text = unsafe getenv(name).map({ unsafe String(cString: $0) }),
      let process = text.split(separator: ":").first.flatMap({ Int32($0) })
    else { return }
    if case .trial? = Successor.task { return }
    let descriptor = text.split(separator: ":").dropFirst().first.flatMap { Int32($0) }
    // Sound: as above.
    _ = unsafe setenv(name, "\(process)", 1)
    if let descriptor { _ = clinux_set_close_on_exec(descriptor) }
    link.withLock { $0 = Link(process: process, descriptor: descriptor) }
    endWithSupervisor()
  }

  /// Has the kernel end this process with its supervisor; to be repeated after a change of the user, which takes it back.
  ///
  /// Nobody else would end it, and the disk would stay locked.
  static func endWithSupervisor() {
    guard let process = link.withLock({ $0?.process }) else { return }
    if clinux_ends_with(process) == 0 {
      note("the supervisor of this process, process \(process), is gone")
      exit(EXIT_FAILURE)
    }
  }

  /// Says that the devices are ready, or why they are not.
  ///
  /// - Returns: whether the supervisor has got it; a process that was started again has nothing to say.
  @discardableResult
  static func report(_ report: ReadyReport) -> Bool {
    guard let number = link.withLock({ exchange(&$0, with: $0?.hasReported) })?.descriptor,
      let data = try? JSONEncoder().encode(report)
    else { return false }
    let pipe = FileDescriptor(rawValue: number)
    return (try? pipe.closeAfter { try pipe.writeAll(Array(data)) }) != nil
  }
}

/// What a device process says when it has started.
struct ReadyReport: Codable, Sendable {
  /// Its devices; none if it has failed.
  var devices: [ReadyDevice] = []
  /// Why it cannot serve.
  var failure: String?
}
