import FoundationEssentials
import Glibc
import NVMeDevice
import SystemPackage
import VFIOUserProgram

/// A resource that only one device of a process can use.
struct ExclusiveResource: CustomStringConvertible {
  let what: String
  /// The name as written by the user.
  let name: String
  /// Equal for different names of the same resource.
  let identity: String
  /// Whether several devices may share the resource, if all of them do.
  var isShared = false
  var remedy: String

  /// Creates a resource with a path: a socket or a file.
  init(_ what: String, path: String, isShared: Bool = false, remedy: String? = nil) {
    self.what = what
    name = path
    identity = Self.identity(path)
    self.isShared = isShared
    self.remedy = remedy ?? "Give each a path of its own."
  }

  init(_ what: String, _ name: String, isShared: Bool = false, remedy: String) {
    self.what = what
    self.name = name
    self.isShared = isShared
    identity = "\(what) \(name)"
    self.remedy = remedy
  }

  var description: String { "\(what) \(name)" }

  /// Identifies an existing file by device and inode, independent of its name, and a new one by its
  /// path.
  private static func identity(_ path: String) -> String {
    let url = URL(filePath: path).standardizedFileURL
    if let number = inode(url.path) { return number }
    guard let folder = inode(url.deletingLastPathComponent().path) else { return url.path }
    return "\(folder)/\(url.lastPathComponent)"
  }

  private static func inode(_ path: String) -> String? {
    var facts = stat()
    // Sound: string and result are lent for the duration of the call.
    guard unsafe stat(path, &facts) == 0 else { return nil }
    return "\(facts.st_dev):\(facts.st_ino)"
  }
}

extension ServeSubcommand {
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
      // The sockets of one unit have the same name, so several devices may use it.
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
  /// The socket and the far end of the cable.
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
  /// The socket, the files, the state file and the serial number.
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
    for one in namespaces {
      guard let text = one.nbd, let address = try? NBDAddress(parsing: text) else { continue }
      claims.append(
        ExclusiveResource(
          "nbd", address.identity, isShared: one.readOnly == true,
          remedy: "Only read-only disks can share an export."))
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
