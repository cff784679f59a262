package import ArgumentParser
internal import CLinux
package import SystemPackage
package import LinuxPrimitives
internal import VFIOUserServer

/// The values of `--memory-files`.
package enum MemoryFilesOption: String, ExpressibleByArgument, CaseIterable {
  case memory, any

  var files: MemoryFiles { self == .any ? .any : .memory }
}

/// The socket on which a device waits for its client.
package struct SocketOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("socket-path")],
    help: ArgumentHelp(
      "The UNIX socket to create; removed at the end. A stale one is replaced.",
      valueName: "path"), completion: .file())
  package var socket: String?

  @Option(
    help: ArgumentHelp(
      "An inherited descriptor to use instead: a listening UNIX socket.", valueName: "number"))
  package var fd: Int32?

  @Option(
    help: ArgumentHelp("Who may connect, as octal permissions of the socket.", valueName: "octal"))
  package var mode: String = "600"

  @Flag(
    help: """
      The socket that systemd hands over, from a .socket unit with Accept=no. A device that systemd has started \
      with a socket needs neither this nor any other place.
      """)
  var systemd = false

  @Option(
    help: ArgumentHelp(
      "Which socket of several that systemd hands over: FileDescriptorName= of its .socket unit.",
      valueName: "name"))
  package var systemdName: String?

  @Option(
    help: ArgumentHelp(
      """
      Which files a client's memory may be in: memory (memfd, tmpfs, hugetlbfs) or any. A file on a file \
      system that does not answer (FUSE, a network) can stop every device of the process for good, and only \
      a client that is trusted should choose it.
      """, valueName: "files"))
  package var memoryFiles = MemoryFilesOption.memory

  /// The source of the socket.
  package enum Place: Equatable {
    case path(String)
    case descriptor(Int32)
    case systemd(name: String?)
  }

  package init() {}

  /// The source of the socket; nil if it is specified more than once, or not at all.
  package var place: Place? {
    switch (socket, fd, systemd || systemdName != nil) {
    case (let path?, nil, false): .path(path)
    case (nil, let number?, false): .descriptor(number)
    case (nil, nil, true): .systemd(name: systemdName)
    // In a program that takes over, systemd's variables are another process's, or none.
    case (nil, nil, false) where ListeningSocket.handedOverCount() > 0 || Successor.task != nil:
      .systemd(name: nil)
    default: nil
    }
  }

  package func validate() throws {
    guard place != nil else {
      throw ValidationError(
        "give the place of the socket, once: --socket PATH, --fd NUMBER or --systemd.")
    }
    guard let bits = CModeT(mode, radix: 8), bits <= 0o777 else {
      throw ValidationError(
        "--mode takes three octal digits, 600 or 660 for example, not '\(mode)'.")
    }
  }

  /// The name used in messages.
  package var name: String {
    switch place {
    case .path(let path)?: path
    case .descriptor(let number)?: "descriptor \(number)"
    case .systemd(let name?)?: "systemd's socket \(name)"
    case .systemd(nil)?, nil: "systemd's socket"
    }
  }

  /// The path of a socket that is made; nil for one that somebody hands over.
  var path: FilePath? {
    guard case .path(let path)? = place else { return nil }
    return FilePath(path)
  }

  /// Opens the socket.
  package func listen() throws -> ListeningSocket {
    switch place {
    case .systemd(let name)?: return try ActivatedSockets.take(named: name)
    case .descriptor(let number)?: return try Self.inherited(number)
    case .path, nil:
      return try listeningSocket(
        at: FilePath(socket ?? ""),
        mode: FilePermissions(rawValue: CModeT(mode, radix: 8) ?? 0o600))
    }
  }

  private static func inherited(_ number: Int32) throws -> ListeningSocket {
    guard number > 2 else { throw CommandError("--fd takes an inherited descriptor above 2.") }
    if ActivatedSockets.holds(number) { return try ActivatedSockets.take(number) }
    guard clinux_set_close_on_exec(number) == 0 else {
      throw CommandError(
        "descriptor \(number) is not open. Whoever starts this program has to pass it on.")
    }
    do {
      return try ListeningSocket(adopting: OwnedDescriptor(adopting: number))
    } catch {
      throw CommandError("\(error) Hand over one that listens, as systemd does with Accept=no.")
    }
  }
}

/// A listening socket of a device, beside the one for its client; a new version of the program takes it over.
package struct KeptListener {
  package let socket: ListeningSocket
  package let kept: KeptDescriptor

  package init(_ path: FilePath, keptAs name: String) throws {
    socket =
      if let inherited = KeptDescriptor.take(name) {
        ListeningSocket(resuming: inherited, at: path)
      } else {
        try listeningSocket(at: path)
      }
    kept = KeptDescriptor(name, socket.descriptor)
  }
}

/// Creates a socket, or throws an error in words for the user.
package func listeningSocket(
  at path: FilePath, mode: FilePermissions = .ownerReadWrite
) throws -> ListeningSocket {
  do {
    return try ListeningSocket(path: path, mode: mode)
  } catch {
    throw CommandError("\(error)")
  }
}
