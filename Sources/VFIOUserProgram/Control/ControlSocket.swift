internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import VFIOUserServer

/// A socket by which other processes of the same user ask this one for something: a line of JSON-RPC 2.0 is a request,
/// and so is the answer.
///
/// Each process has the abstract UNIX socket `vfio-user-PID`, which needs no file and ends with the process, and with
/// `--control` another one that has a path. Callers of another user (but root) are refused.
final class ControlSocket: Sendable {
  /// The name of the abstract socket of a process.
  static func name(of process: Int32) -> String { "vfio-user-\(process)" }

  private let descriptor: OwnedDescriptor
  /// The descriptor number, to be handed over.
  var number: Int32 { descriptor.number }
  private let callers = Callers()

  /// Listens; nil if another process has the name, which is said in the log.
  static func open(_ logger: Logger) -> ControlSocket? {
    let name = name(of: clinux_process_id())
    // Sound: the string is lent for the call.
    let number = unsafe clinux_listen_abstract(name, 8)
    guard number >= 0 else {
      logger.notice(
        "there is no control socket, so that `vfio-user upgrade` does not find this process: SIGUSR2 does",
        metadata: ["name": "@\(name)", "error": "\(Errno(rawValue: -number))"])
      return nil
    }
    return ControlSocket(OwnedDescriptor(adopting: number))
  }

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Serves callers, each on a thread of its own, so that none waits for another.
  func start(_ service: ControlService) throws(SystemCallError) {
    try DetachedThread.start("control") { [self] in
      while true {
        let accepted = clinux_accept(descriptor.number)
        guard accepted >= 0 else {
          if accepted != -Errno.interrupted.rawValue { waitForCaller() }
          continue
        }
        serve(ControlConnection(OwnedDescriptor(adopting: accepted)), service)
      }
    }
  }

  /// The descriptor may not wait by itself; after an error, as of a lack of descriptors, a moment passes.
  private func waitForCaller() {
    var interest = clinux_interest(
      descriptor: descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
    // Sound: the structure is lent for the call.
    _ = unsafe clinux_poll(&interest, 1, -1)
    usleep(10_000)
  }

  private func serve(_ caller: ControlConnection, _ service: ControlService) {
    guard caller.isOfOurUser else {
      return refuse(caller, "only the user of this process, and root, may ask")
    }
    let process = caller.peer?.process ?? 0
    if let reason = callers.admit(process) { return refuse(caller, reason) }
    do {
      try DetachedThread.start("control-caller") { [callers] in
        service.serve(caller)
        callers.release(process)
      }
    } catch {
      callers.release(process)
      refuse(caller, "\(error)")
    }
  }

  private func refuse(_ caller: ControlConnection, _ reason: String) {
    caller.send(ControlAnswer(to: nil, ControlFailure(reason)), within: .zero)
  }
}
