import ArgumentParser
import Foundation
import Glibc

/// What the user is told when the devices are ready: where, and what to copy into QEMU's command line.
struct Announcement {
  private let notices: [String]
  private let lines: [String]
  private let usesStandardError: Bool

  init(of devices: [OpenDevice]) {
    let isAlone = devices.count == 1
    notices = devices.compactMap { one in
      one.served.notice.map { isAlone ? $0 : "\(one.asked.command.socket.name): \($0)" }
    }
    lines =
      devices.map { one in
        let kind = type(of: one.asked.command).configuration.commandName ?? "device"
        let socket = one.asked.command.socket
        guard case .path(let path)? = socket.place else {
          return "\(kind) is ready on \(socket.name)"
        }
        return "\(kind) is ready on \(path): -device \(QEMU.device(socket: path))"
      } + ["guest memory has to be shared: \(QEMU.sharedMemory)"]
    usesStandardError = devices.contains { $0.asked.command.usesStandardOutput }
  }

  /// - Throws: when a notice cannot be printed; nobody could use the device without it.
  func print() throws {
    let text = { (lines: [String]) in lines.joined(separator: "\n") }
    if usesStandardError {
      note(text(notices + lines))
    } else {
      if !notices.isEmpty { try say(text(notices)) }
      try? say(text(lines))
    }
  }
}

/// Parts of QEMU's command line, as a shell takes them.
enum QEMU {
  /// The memory that a device needs to reach the guest without asking; the size is an example.
  static let sharedMemory =
    "-object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem"

  /// The value of -device for the device behind a socket, quoted.
  static func device(socket path: String) -> String {
    let json =
      #"{"driver":"vfio-user-pci","socket":{"type":"unix","path":\#(quotedJSON(absolute(path)))}}"#
    return "'\(json.replacing("'", with: #"'\''"#))'"
  }

  private static func quotedJSON(_ text: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    return (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\(text)\""
  }

  /// QEMU may run in another folder.
  private static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = workingFolder else { return path }
    return folder == "/" ? "/\(path)" : "\(folder)/\(path)"
  }

  /// Nil when its name is no text.
  private static var workingFolder: String? {
    // Sound: the C library allocates the string, and we free it.
    guard let folder = unsafe getcwd(nil, 0) else { return nil }
    defer { unsafe free(folder) }
    return unsafe String(validatingCString: folder)
  }
}
