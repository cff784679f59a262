internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import SystemPackage

/// What is said of a device when it is ready.
struct ReadyDevice: Codable, Sendable {
  /// The name of its socket.
  var socket: String
  /// The line with the option for QEMU.
  var readiness: String
  /// A line that its user needs, as the path of a terminal.
  var notice: String?
  /// Whether standard output is the device's own.
  var usesStandardOutput: Bool

  init(_ device: OpenDevice) {
    socket = device.socketName
    readiness = device.readiness
    notice = device.files.notice
    usesStandardOutput = device.files.usesStandardOutput
  }

  /// A device of another process, on an absolute path.
  init(kind: String, socket: String, notice: String?) {
    self.socket = socket
    readiness = Self.readiness(kind, on: socket)
    self.notice = notice
    usesStandardOutput = false
  }

  static func readiness(_ kind: String, on path: String) -> String {
    "\(kind) is ready on \(path): -device \(QEMU.device(socket: path))"
  }
}

/// The messages to the user when the devices are ready: paths, and options for QEMU's command line.
struct Announcement {
  private let notices: [String]
  private let lines: [String]
  private let usesStandardError: Bool

  /// - Parameter control: the path of the control socket.
  init(of devices: [ReadyDevice], control: String? = nil) {
    let isAlone = devices.count == 1
    notices = devices.compactMap { one in
      one.notice.map { isAlone ? $0 : "\(one.socket): \($0)" }
    }
    lines =
      devices.map(\.readiness)
      + (devices.isEmpty ? [] : ["guest memory has to be shared: \(QEMU.sharedMemory)"])
      + (control.map { ["vfio-user ctl \($0) controls this process"] } ?? [])
    usesStandardError = devices.contains { $0.usesStandardOutput }
  }

  /// Prints the messages without blocking: devices do not wait for a reader.
  ///
  /// - Throws: if a notice cannot be printed, because the device could not be used without it.
  func print() throws {
    let stream = usesStandardError ? FileDescriptor.standardError : .standardOutput
    for notice in notices where !Self.offer(notice, to: stream) {
      throw CommandError("standard output takes no more; it should have got: \(notice)")
    }
    for line in lines where !Self.offer(line, to: stream) { return }
  }

  /// Prints a line if that does not block.
  ///
  /// - Returns: whether it was printed.
  private static func offer(_ line: String, to stream: FileDescriptor) -> Bool {
    var interest = clinux_interest(
      descriptor: stream.rawValue, wanted: Int16(CLINUX_WRITABLE), happened: 0)
    // Sound: the structure is lent for the duration of the call. A writable stream takes PIPE_BUF
    // bytes without blocking.
    guard unsafe clinux_poll(&interest, 1, 0) == 1, line.utf8.count < PIPE_BUF else { return false }
    return (try? stream.writeAll(Array("\(line)\n".utf8))) != nil
  }
}
