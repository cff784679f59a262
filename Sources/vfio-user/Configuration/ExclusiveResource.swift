import Foundation
import Glibc
import SystemPackage

/// Something that only one device of a process can have.
struct ExclusiveResource: CustomStringConvertible {
  let what: String
  /// As the user wrote it.
  let name: String
  /// Equal for two names of the same thing.
  let identity: String
  /// Whether others may have it that share it too.
  var isShared = false
  var remedy: String

  /// A path: a socket, or a file.
  init(_ what: String, path: String, isShared: Bool = false, remedy: String? = nil) {
    self.what = what
    name = path
    identity = Self.identity(path)
    self.isShared = isShared
    self.remedy = remedy ?? "Give each a path of its own."
  }

  init(_ what: String, _ name: String, remedy: String) {
    self.what = what
    self.name = name
    identity = "\(what) \(name)"
    self.remedy = remedy
  }

  var description: String { "\(what) \(name)" }

  /// A file is what it is under each of its names; one that is not there yet is its path.
  private static func identity(_ path: String) -> String {
    let url = URL(filePath: path).standardizedFileURL
    if let number = inode(url.path) { return number }
    guard let folder = inode(url.deletingLastPathComponent().path) else { return url.path }
    return "\(folder)/\(url.lastPathComponent)"
  }

  private static func inode(_ path: String) -> String? {
    var facts = stat()
    // Sound: the string and the result are lent for the call.
    guard unsafe stat(path, &facts) == 0 else { return nil }
    return "\(facts.st_dev):\(facts.st_ino)"
  }
}

extension DeviceCommand {
  /// The socket.
  var claims: [ExclusiveResource] { socketClaims }

  var socketClaims: [ExclusiveResource] {
    switch socket.place {
    case .path(let path)?: return [ExclusiveResource("socket", path: path)]
    case .descriptor(let number)?:
      return [
        ExclusiveResource("fd", "\(number)", remedy: "Each device needs a descriptor of its own.")
      ]
    case .systemd(let name)?:
      // Sockets of one unit have one name, so several devices may use it.
      guard name == nil else { return [] }
      return [
        ExclusiveResource(
          "socket", "of systemd",
          remedy: "Say which with systemd-name: it is FileDescriptorName= of the .socket unit.")
      ]
    case nil: return []
    }
  }
}

extension ServeSerial {
  /// The socket, and what the cable leads to.
  var claims: [ExclusiveResource] {
    var claims = socketClaims
    if let listen { claims.append(ExclusiveResource("listen", path: listen)) }
    if stdio {
      claims.append(
        ExclusiveResource("stdio", "(this terminal)", remedy: "Use pty or listen for one of them."))
    }
    return claims
  }
}

extension ServeNVMe {
  /// The socket, the files, the state and the serial number.
  var claims: [ExclusiveResource] {
    var claims = socketClaims
    let namespaces = (try? disk.namespaces()) ?? []
    for one in namespaces {
      guard let file = one.file else { continue }
      claims.append(
        ExclusiveResource(
          "file", path: file, isShared: one.readOnly == true,
          remedy: "Only read-only disks can share a file."))
    }
    claims += disk.stateFiles(namespaces).map {
      ExclusiveResource(
        "state", path: $0, remedy: "Name the file otherwise, or keep the state in a folder.")
    }
    claims += namespaces.compactMap(\.nguid).map {
      ExclusiveResource(
        "nguid", $0.lowercased(), remedy: "A guest takes only one of two namespaces with the same.")
    }
    if let serial = disk.serial {
      claims.append(
        ExclusiveResource(
          "serial", serial, remedy: "A guest takes only one of two disks with the same."))
    }
    return claims
  }
}
