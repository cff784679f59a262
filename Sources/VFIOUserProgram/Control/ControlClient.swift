internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// The caller's side of a control socket; used by one thread at a time.
package struct ControlClient: Sendable {
  /// What the socket is called in messages: "process 4711", or its path.
  package let name: String
  private let connection: ControlConnection

  /// Maximum number of bytes of an answer.
  private static let maxAnswer = 16 << 20

  /// Connects to a process.
  ///
  /// - Throws: ``CommandError`` if it has no control socket, or another process has its name.
  package init(process: Int32) throws {
    try self.init(process, for: .seconds(2))
  }

  /// Connects to the socket that `--control` has made.
  ///
  /// - Throws: ``CommandError`` if nobody listens there.
  package init(path: String) throws {
    name = path
    connection = try Self.connect(
      for: .seconds(2),
      explaining: { "nobody listens on \(path) (\($0)). `vfio-user serve --control \(path)` does." }
    ) {
      // Sound: the string is lent for the call.
      unsafe clinux_connect(path, 0)
    }
  }

  private init(_ process: Int32, for patience: Duration) throws {
    name = "process \(process)"
    connection = try Self.connect(
      for: patience,
      explaining: {
        kill(process, 0) != 0 && errno == ESRCH
          ? "there is no process \(process)"
          : "process \(process) cannot be asked (\($0)). Is it one that serves devices, in a version with a control socket, and not in another network namespace?"
      }
    ) {
      // Sound: the string is lent for the call.
      unsafe clinux_connect_abstract(ControlSocket.name(of: process))
    }
    guard connection.peer?.process == process else {
      throw CommandError(
        "the control socket of process \(process) belongs to process \(connection.peer?.process ?? 0)"
      )
    }
  }

  private static func connect(
    for patience: Duration, explaining explain: (Errno) -> String, _ attempt: () -> Int32
  ) throws -> ControlConnection {
    let deadline = Deadline.after(patience)
    var number: Int32 = -1
    repeat {
      number = attempt()
      // It has no room for more callers.
      if number == -EAGAIN { usleep(10_000) }
    } while number == -EAGAIN && !deadline.hasPassed
    guard number >= 0 else {
      throw CommandError(explain(Errno(rawValue: -number)))
    }
    return ControlConnection(OwnedDescriptor(adopting: number))
  }

  /// Who serves the socket.
  var peer: PeerCredentials? { connection.peer }

  /// Calls a method and waits for the answer.
  ///
  /// - Throws: ``CommandError`` with the failure that the process has answered, or if it does not answer in time.
  package func call(
    _ method: String, _ params: JSONValue? = nil, for patience: Duration = .seconds(10)
  ) throws -> JSONValue {
    connection.send(ControlRequest(method, params))
    return try answer(to: method, within: patience)
  }

  private func answer(to method: String, within patience: Duration) throws -> JSONValue {
    let line: [UInt8]
    switch connection.receiveLine(atMost: Self.maxAnswer, idle: patience, patience: patience) {
    case .complete(let bytes): line = bytes
    case .timedOut: throw CommandError("\(name) has not answered within \(patience)")
    case .tooLong: throw CommandError("\(name) answers with more than \(Self.maxAnswer) bytes")
    case .closed:
      throw CommandError(whyClosed)
    }
    guard JSONText.isAcceptable(line, isAnswer: true),
      let answer = try? JSONDecoder().decode(ControlAnswer.self, from: Data(line))
    else {
      throw CommandError("\(name) answers something that is not known here")
    }
    if let failure = answer.error { throw CommandError(failure.message) }
    return answer.result ?? .null
  }

  /// Why a connection was closed without an answer.
  private var whyClosed: String {
    guard let process = Self.process(serving: name) else {
      return "\(name) has ended without an answer, or does not serve any more; its log may say why"
    }
    return
      "\(name) is the socket of a device. Its process is \(process): vfio-user ctl \(process) ..."
  }

  /// As ``call(_:_:for:)``, with parameters and result of known types.
  package func call<Result: Decodable>(
    _ method: String, _ params: some Encodable, as result: Result.Type,
    for patience: Duration = .seconds(10)
  ) throws -> Result {
    let value = try call(method, JSONValue(of: params), for: patience)
    return try decode(value, of: method, as: result)
  }

  private func decode<Result: Decodable>(
    _ value: JSONValue, of method: String, as result: Result.Type
  ) throws -> Result {
    do {
      return try value.decode(result)
    } catch {
      throw CommandError("\(name) answers \(method) with something that is not known here")
    }
  }

  /// Has the process replace its program, and hands it the new one: a process in a sandbox cannot open it.
  ///
  /// - Parameter program: an absolute path; nil for the program of the process, which that finds itself.
  package func upgrade(
    to program: String?, for patience: Duration
  ) throws -> UpgradeResult {
    let request = ControlRequest("upgrade", try JSONValue(of: UpgradeParameters(program: program)))
    if let program, let file = Self.open(program) {
      connection.send(request, with: file)
    } else {
      connection.send(request)
    }
    return try decode(
      answer(to: "upgrade", within: patience), of: "upgrade", as: UpgradeResult.self)
  }

  /// - Returns: nil if the caller cannot open it: the process may be able to.
  private static func open(_ program: String) -> OwnedDescriptor? {
    let file = try? FileDescriptor.open(
      FilePath(program), .readOnly, options: [.closeOnExec, .nonBlocking])
    return file.map { OwnedDescriptor(adopting: $0.rawValue) }
  }
}

extension ControlClient {
  /// Connects to a process that claims to serve something: who has the name may be anybody.
  private init?(of process: Int32, trusting users: [UInt32]) {
    guard let client = try? ControlClient(process, for: .zero), let user = client.peer?.user,
      users.contains(user)
    else { return nil }
    self = client
  }

  /// The processes of this machine that have a control socket, of the caller and of root.
  package static func ofThisMachine() -> [ControlClient] {
    processes().compactMap { ControlClient(of: $0, trusting: [0, geteuid()]) }
  }

  private static func processes() -> [Int32] {
    let prefix = "@" + ControlSocket.name(of: 0).dropLast()
    // Names of sockets may be anything.
    let lines = ((try? kernelText("/proc/net/unix")) ?? "").split(separator: "\n")
    let names = lines.compactMap { $0.split(separator: " ").last }
    let numbers = names.filter { $0.hasPrefix(prefix) }.compactMap {
      Int32($0.dropFirst(prefix.count))
    }
    return Set(numbers).sorted()
  }

  /// The process that serves the device on a socket; nil if no process says so whom root, the caller or the owner of
  /// the socket runs.
  ///
  /// Of a supervisor and its device process it is the supervisor.
  package static func process(serving socket: String) -> Int32? {
    guard let wanted = FileIdentity(of: socket) else { return nil }
    let users = [0, geteuid(), wanted.owner]
    var found: Int32?
    for process in processes() {
      guard let client = ControlClient(of: process, trusting: users),
        let list = try? client.call("list", for: .seconds(10)).decode(DeviceList.self),
        let device = list.devices.first(where: { FileIdentity(of: $0.socket) == wanted })
      else { continue }
      if device.process != nil, client.peer?.user == 0 || client.peer?.user == geteuid() {
        return process
      }
      found = found ?? process
    }
    return found
  }
}

/// Tells whether two paths lead to the same file.
struct FileIdentity: Equatable {
  let device: UInt64
  let inode: UInt64
  let owner: UInt32

  /// Nil if there is no such file.
  init?(of path: String) {
    var info = stat()
    // Sound: string and structure are lent for the call.
    guard unsafe stat(path, &info) == 0 else { return nil }
    (device, inode, owner) = (UInt64(info.st_dev), UInt64(info.st_ino), info.st_uid)
  }
}
