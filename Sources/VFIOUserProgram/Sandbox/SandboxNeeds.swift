public import SystemPackage

/// What a device needs while it is served, so that the process can give up everything else.
///
/// What the device has opened before it is made stays open, and needs nothing: files that are opened again, made or
/// removed later do.
public struct SandboxNeeds: Sendable {
  /// What may be done with a file, or with everything in a folder.
  public struct Access: OptionSet, Sendable {
    /// The bits.
    public let rawValue: Int

    /// - Parameter rawValue: the bits.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Open it for reading; in a folder also list it.
    public static let read = Access(rawValue: 1)
    /// Open it for writing, and change its size.
    public static let write = Access(rawValue: 2)
    /// Make, rename and remove files and sockets; for folders.
    public static let make = Access(rawValue: 4)
    /// Execute it.
    package static let execute = Access(rawValue: 8)
  }

  /// A file or folder, which has to be there when the device is served.
  public struct File: Sendable {
    let path: FilePath
    let access: Access

    /// - Parameters:
    ///   - path: symbolic links are followed once, at the start.
    ///   - access: what may be done with it.
    public init(_ path: FilePath, _ access: Access) {
      self.path = path
      self.access = access
    }
  }

  /// Files and folders.
  public var files: [File]
  /// TCP ports that may be connected to.
  public var ports: Set<UInt16>
  /// System calls beside those that serving takes.
  public var systemCalls: Set<SystemCall>
  /// Whether connections to UNIX sockets are made: no rule of Landlock's says to which.
  package var connects = false
  /// Whether names of hosts are looked up, which takes datagrams.
  package var looksUpNames = false
  /// Sockets of the device's own, which are removed at the end.
  package var sockets: [FilePath] = []
  /// Files that were made just now, which go when the device is not served after all.
  package var made: [FilePath] = []

  /// Nothing, beside what every device needs.
  ///
  /// - Parameters:
  ///   - files: files and folders.
  ///   - ports: TCP ports that may be connected to.
  ///   - systemCalls: system calls beside those that serving takes.
  public init(
    files: [File] = [], ports: Set<UInt16> = [], systemCalls: Set<SystemCall> = []
  ) {
    self.files = files
    self.ports = ports
    self.systemCalls = systemCalls
  }

  /// Looking up names of hosts: the files of the C library, and servers of names.
  package static var names: Self {
    var needs = SandboxNeeds(
      files: ["hosts", "resolv.conf", "nsswitch.conf", "host.conf", "gai.conf", "services"].map {
        File(FilePath("/etc/\($0)"), .read)
      }, ports: [53])
    needs.looksUpNames = true
    return needs
  }

  /// What both need.
  package static func + (one: Self, other: Self) -> Self {
    var both = one
    both.files += other.files
    both.ports.formUnion(other.ports)
    both.systemCalls.formUnion(other.systemCalls)
    both.connects = one.connects || other.connects
    both.looksUpNames = one.looksUpNames || other.looksUpNames
    both.sockets += other.sockets
    both.made += other.made
    return both
  }
}
