internal import CLinux
internal import Foundation
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import VFIOUserServer

/// A socket by which other processes of the same user ask this one for something.
///
/// It is the abstract UNIX socket `vfio-user-PID`, so it needs no file and ends with the process. A request is a line
/// of JSON-RPC 2.0, and so is the answer. Callers of another user (but root) are refused, and so is a client of one of
/// the devices: a VMM whose guest has taken it over must not choose what this process executes.
final class ControlSocket: Sendable {
  /// The name of the socket of a process.
  static func name(of process: Int32) -> String { "vfio-user-\(process)" }

  /// Maximum number of bytes of a request.
  private static let maxRequest = 64 << 10
  /// How long a caller may take to send its request.
  private static let patience: Duration = .seconds(2)

  private let descriptor: OwnedDescriptor
  /// The descriptor number, to be handed over.
  var number: Int32 { descriptor.number }

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

  /// Serves callers on a thread of its own.
  ///
  /// - Parameter answer: gets a request and the caller; returns the answer, or nil if it is given later.
  func start(
    _ answer: @escaping @Sendable (ControlRequest, ControlConnection) -> ControlAnswer?
  ) throws(SystemCallError) {
    try DetachedThread.start("control") { [self] in
      while true {
        let accepted = clinux_accept(descriptor.number)
        guard accepted >= 0 else {
          if accepted == -Errno.interrupted.rawValue { continue }
          usleep(100_000)
          continue
        }
        Self.serve(ControlConnection(OwnedDescriptor(adopting: accepted)), answer)
      }
    }
  }

  private static func serve(
    _ caller: ControlConnection,
    _ answer: (ControlRequest, ControlConnection) -> ControlAnswer?
  ) {
    guard caller.isOfOurUser else {
      return caller.send(ControlAnswer.failure("only the user of this process, and root, may ask"))
    }
    guard let line = caller.receiveLine(atMost: maxRequest, for: patience) else { return }
    guard let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(line)) else {
      return caller.send(
        ControlAnswer.failure("this is no request of JSON-RPC 2.0 that is known here"))
    }
    if let answer = answer(request, caller) { caller.send(answer) }
  }
}
