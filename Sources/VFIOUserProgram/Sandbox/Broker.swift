internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// The connection to a process outside of the sandbox, which does with a few files what this one cannot be allowed: it
/// removes the sockets at the end, and opens the file of the program for an upgrade.
///
/// It lives as long as the process, whatever program that executes.
struct Broker {
  /// A file, and what may be done with it.
  struct File: Codable, Sendable {
    enum Task: Int32, Codable {
      case remove, discard, open
    }
    let path: String
    let task: Task
  }

  /// For the next version of the program.
  struct Record: Codable, Sendable {
    var connection: Int32
    var files: [File]
  }

  let record: Record

  /// Starts the process.
  ///
  /// - Throws: ``CommandError`` without memory or processes.
  init(_ files: [File]) throws {
    // Sound: the list is never freed.
    let list = unsafe Self.list(files)
    let connection = unsafe clinux_broker_start(list.baseAddress, UInt32(list.count))
    guard connection >= 0 else {
      throw CommandError("no process for the sandbox: \(Errno(rawValue: -connection))")
    }
    record = Record(connection: connection, files: files)
    // Sound: as above.
    unsafe clinux_broker_use(connection, list.baseAddress, UInt32(list.count))
  }

  /// Takes over the connection of the program before this one.
  init(_ record: Record) throws {
    var record = record
    record.connection = try OwnedDescriptor.duplicate(of: record.connection).release()
    self.record = record
    // Sound: the list is never freed.
    let list = unsafe Self.list(record.files)
    unsafe clinux_broker_use(record.connection, list.baseAddress, UInt32(list.count))
  }

  /// Opens a file of the broker's for reading.
  ///
  /// - Returns: nil if it is none of them, or there is no broker.
  static func open(_ path: String) throws(SystemCallError) -> OwnedDescriptor? {
    // Sound: the string is lent for the call.
    let number = unsafe clinux_broker_open(path)
    guard number != -ENOENT else { return nil }
    return OwnedDescriptor(adopting: try checked("open", number))
  }

  /// The list for C, which stays for ever: there is one for each program.
  @unsafe
  private static func list(_ files: [File]) -> UnsafeBufferPointer<clinux_broker_file> {
    // Sound: filled here, and never freed.
    let list = UnsafeMutableBufferPointer<clinux_broker_file>.allocate(capacity: files.count)
    for (index, file) in files.enumerated() {
      unsafe list.initializeElement(
        at: index,
        to: clinux_broker_file(path: strdup(file.path), task: file.task.rawValue))
    }
    return UnsafeBufferPointer(list)
  }
}
