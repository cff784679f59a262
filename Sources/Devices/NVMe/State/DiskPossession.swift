internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

/// Whether the files of a disk are this process's, or those of another one to or from which the disk migrates.
///
/// The source gives the files up when its state was read completely; the target takes them when it is to run with a state
/// that was loaded. In between both have a disk that they cannot write, and whoever is told to run takes the files:
/// the target, or the source again. The locks decide, and the state file shows the source whether somebody has had
/// the disk meanwhile.
final class DiskPossession: Sendable {
  private enum State {
    /// The files are this process's.
    case held
    /// They are another one's, until the disk's state is loaded here.
    case waiting
    /// The state was loaded; the files are taken before the controller goes on.
    case loaded
    /// They were given up.
    case released
  }

  private let state: Monitor<State>
  private let namespaces: [NamespaceConfiguration]
  private let logger: Logger

  init(_ options: NVMeConfiguration) {
    namespaces = options.namespaces
    logger = options.logger
    state = Monitor(options.namespaces.allSatisfy { $0.storage.isHeld } ? .held : .waiting)
  }

  /// Whether the files may be used.
  var isHeld: Bool { state.withLock { $0 == .held } }

  /// The state of the disk was loaded.
  func noteLoad() { state.withLock { if $0 != .held { $0 = .loaded } } }

  /// What was loaded is not gone on with: the device was reset.
  func forgetLoad() { state.withLock { if $0 == .loaded { $0 = .waiting } } }

  /// Brings everything to the disk and gives the files up; nothing for a disk that nobody else could have.
  ///
  /// - Precondition: nothing is under way, and nothing waits to be written to the state file.
  /// - Throws: what cannot be brought to the disk; the files are still this process's then.
  func letGo() throws(Errno) {
    guard isHeld, namespaces.contains(where: { $0.storage.isExclusive }) else { return }
    do throws(SystemCallError) {
      for one in namespaces { try one.storage.settle() }
      for one in namespaces {
        one.store?.letGo()
        try one.storage.letGo()
      }
    } catch {
      logger.error(
        "the disk cannot be given up, and stays here", metadata: ["error": "\(error)"])
      // Nobody else can have had what was given up: the rest is still locked.
      try? takeAll()
      throw error.code
    }
    state.withLock { $0 = .released }
    logger.info("the disk was given up for the target of a migration")
  }

  /// Takes the files (back), if a state was loaded or they were given up.
  ///
  /// - Throws: `EAGAIN` while another process has the disk, `ESTALE` when another one has had it since it was given up.
  func take() throws(Errno) {
    guard state.withLock({ $0 == .loaded || $0 == .released }) else { return }
    do {
      try takeAll()
      for one in namespaces { try one.store?.mark() }
    } catch {
      for one in namespaces { letGo(of: one) }
      throw said(error)
    }
    state.withLock { $0 = .held }
    logger.info("the disk was taken over")
  }

  private func takeAll() throws {
    for one in namespaces { try one.storage.take() }
    for one in namespaces { try one.store?.take() }
  }

  private func letGo(of one: NamespaceConfiguration) {
    one.store?.letGo()
    do throws(SystemCallError) {
      try one.storage.letGo()
    } catch {
      logger.error(
        "a lock stays with this process",
        metadata: ["file": "\(one.storage.name)", "error": "\(error)"])
    }
  }

  /// The log says what to do, and the client gets the number.
  private func said(_ error: any Error) -> Errno {
    let code: Errno
    switch error {
    case StateFileError.inUse: code = .resourceTemporarilyUnavailable
    case StateFileError.changed: code = .staleNFSFileHandle
    case StateFileError.system(_, let failure): code = failure.code
    case let failure as SystemCallError where failure.code == .resourceBusy:
      code = .resourceTemporarilyUnavailable
    case let failure as SystemCallError: code = failure.code
    default: code = .ioError
    }
    if code == .resourceTemporarilyUnavailable {
      logger.notice(
        "another process has the disk now, and this one stays stopped",
        metadata: [
          "to go on here": "end that process, or have it give the disk up; then set RUNNING"
        ])
    } else {
      logger.error("the disk cannot be taken, and stays stopped", metadata: ["reason": "\(error)"])
    }
    return code
  }
}
