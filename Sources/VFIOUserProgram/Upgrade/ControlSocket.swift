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
    _ answer: @escaping @Sendable (ControlRequest, ControlCaller) -> ControlAnswer?
  ) throws(SystemCallError) {
    try DetachedThread.start("control") { [self] in
      while true {
        let accepted = clinux_accept(descriptor.number)
        guard accepted >= 0 else {
          if accepted == -Errno.interrupted.rawValue { continue }
          usleep(100_000)
          continue
        }
        Self.serve(ControlCaller(OwnedDescriptor(adopting: accepted)), answer)
      }
    }
  }

  private static func serve(
    _ caller: ControlCaller,
    _ answer: (ControlRequest, ControlCaller) -> ControlAnswer?
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

/// A request of JSON-RPC 2.0.
package struct ControlRequest: Codable, Sendable {
  package struct Parameters: Codable, Sendable {
    /// The path of a program.
    package var program: String?

    package init(program: String? = nil) { self.program = program }
  }

  package var jsonrpc = "2.0"
  package var id = 1
  package var method: String
  package var params: Parameters?

  package init(_ method: String, _ params: Parameters? = nil) {
    self.method = method
    self.params = params
  }
}

/// An answer of JSON-RPC 2.0.
package struct ControlAnswer: Codable, Sendable {
  package struct Result: Codable, Sendable {
    /// The absolute paths of the sockets of the devices.
    package var devices: [String]?
    package var upgrade: UpgradeResult?
  }

  package struct Failure: Codable, Error, Sendable {
    package var code = -32000
    package var message: String
  }

  package var jsonrpc = "2.0"
  package var id = 1
  package var result: Result?
  package var error: Failure?

  static func failure(_ message: String) -> ControlAnswer {
    ControlAnswer(error: Failure(message: message))
  }
}

/// Who has connected to the control socket.
final class ControlCaller: Sendable {
  private let descriptor: OwnedDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor number, to be handed over.
  var number: Int32 { descriptor.number }

  private var peer: clinux_peer? {
    var peer = clinux_peer()
    // Sound: the structure is lent for the call.
    return unsafe clinux_peer_of(descriptor.number, &peer) == 0 ? peer : nil
  }

  /// The process ID.
  var process: Int32 { peer?.process ?? 0 }

  var isOfOurUser: Bool {
    guard let user = peer?.user else { return false }
    return user == 0 || user == clinux_effective_user()
  }

  /// Receives bytes up to a newline or the end of the stream.
  func receiveLine(atMost limit: Int, for patience: Duration) -> [UInt8]? {
    let deadline = Deadline.after(patience)
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while bytes.count <= limit, !deadline.hasPassed {
      var interest = clinux_interest(
        descriptor: descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      // Sound: the structure is lent for the call; the count is that of the array.
      guard unsafe clinux_poll(&interest, 1, deadline.remaining) > 0 else { continue }
      let count = unsafe recv(descriptor.number, &piece, piece.count, Int32(MSG_DONTWAIT))
      guard count > 0 else { return bytes.isEmpty ? nil : bytes }
      bytes += piece[..<count]
      if let end = bytes.firstIndex(of: 0x0A) { return Array(bytes[..<end]) }
    }
    return nil
  }

  /// Sends a line, if the caller takes it.
  func send(_ answer: some Encodable) {
    guard let data = try? JSONEncoder().encode(answer) else { return }
    let bytes = Array(data) + [0x0A]
    // Sound: the count is that of the array.
    _ = unsafe Glibc.send(
      descriptor.number, bytes, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
  }
}
