import ArgumentParser
import SystemPackage
import VFIOUserTransport

/// Where a device waits for its client.
struct SocketOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("socket-path")],
    help: ArgumentHelp(
      "The UNIX socket to create; removed at the end. A stale one is replaced.",
      valueName: "path"))
  var socket: String?

  @Option(
    help: ArgumentHelp(
      "An inherited descriptor to use instead: a listening UNIX socket.", valueName: "number"))
  var fd: Int32?

  @Option(
    help: ArgumentHelp("Who may connect, as octal permissions of the socket.", valueName: "octal"))
  var mode: String = "600"

  func validate() throws {
    guard (socket == nil) != (fd == nil) else {
      throw ValidationError("give the place of the socket: either --socket PATH or --fd NUMBER.")
    }
    guard let bits = CModeT(mode, radix: 8), bits <= 0o777 else {
      throw ValidationError(
        "--mode takes three octal digits, 600 or 660 for example, not '\(mode)'.")
    }
  }

  /// As messages call it.
  var name: String { socket ?? "descriptor \(fd ?? -1)" }

  /// Opens the socket.
  func listen() throws -> ListeningSocket {
    if let fd {
      guard fd > 2 else { throw CommandFailure("--fd takes an inherited descriptor above 2.") }
      do {
        return try ListeningSocket(adopting: OwnedDescriptor(adopting: fd))
      } catch {
        throw CommandFailure("\(error)")
      }
    }
    return try listeningSocket(
      at: FilePath(socket ?? ""),
      mode: FilePermissions(rawValue: CModeT(mode, radix: 8) ?? 0o600))
  }
}

/// Creates a socket, or says why not in words for the user.
func listeningSocket(
  at path: FilePath, mode: FilePermissions = .ownerReadWrite
) throws -> ListeningSocket {
  do {
    return try ListeningSocket(path: path, mode: mode)
  } catch {
    throw CommandFailure("\(error)")
  }
}
