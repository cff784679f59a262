import LinuxPrimitives
import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import NVMeDevice
import SystemPackage
import VFIOUserProgram

extension DiskOptions {
  /// Opens the files of the disk; on failure removes files created here.
  ///
  /// - Parameter socket: the name of the disk's socket.
  func open(_ logger: Logger, socket: String) throws -> NVMeConfiguration {
    var configuration = NVMeConfiguration(namespaces: [])
    configuration.logger = logger
    configuration.queues = controller.queues
    configuration.queueEntries = controller.queueEntries
    configuration.threads = threads
    configuration.workers = controller.workers
    configuration.doorbells = controller.doorbells
    configuration.busyPoll = .microseconds(controller.busyPoll)
    configuration.interrupts = controller.interrupts
    configuration.limits = rates.limits
    configuration.serialNumber = serial
    configuration.readerName = socket
    let options = try namespaces()
    do {
      for one in options {
        configuration.namespaces.append(
          try one.open(
            isIncoming: incoming, server: server.settings(), usesHugePages: hugePages))
      }
      configuration.use(engine)
      for (one, namespace) in zip(options, configuration.namespaces) where one.raw != true {
        try Self.checkFormat(of: namespace, isState: true)
      }
      try open(statePlace(options), of: &configuration)
      for (one, namespace) in zip(options, configuration.namespaces) where one.raw != true {
        try Self.checkFormat(of: namespace, isState: false)
      }
      return configuration
    } catch {
      configuration.namespaces.forEach { $0.removeMadeFiles() }
      throw error
    }
  }

  private func open(_ place: StatePlace, of configuration: inout NVMeConfiguration) throws {
    do {
      try configuration.openState(place)
    } catch {
      throw CommandError("\(error) --state says where it is kept.")
    }
  }

  /// Throws if a file looks like an image of another format, unless it has been served as a disk
  /// before.
  ///
  /// A disk served before is a disk, whatever its guest has written to its beginning.
  ///
  /// - Parameter isState: whether to look only for the state file of a disk, which must happen
  ///   before the state of this disk is looked up.
  private static func checkFormat(of namespace: NamespaceConfiguration, isState: Bool) throws {
    // A disk that is taken over was looked at before its guest wrote to it.
    guard !KeptDescriptor.hasPredecessor, namespace.store?.isKnown != true,
      let file = namespace.storage as? StorageFile, !file.wasMade,
      let format = ImageFormat(of: file), format == .state || !isState
    else { return }
    throw CommandError(
      "\(file.name) looks like \(format.rawValue), and a guest would find that instead of the disk in it: \(format.remedy). --raw takes it for the disk itself."
    )
  }

  /// The location of the state.
  func statePlace(_ namespaces: [NamespaceOptions]) -> StatePlace {
    guard let state else { return .beside(otherwise: Self.stateFolder) }
    return Self.isFolder(state) ? .folder(FilePath(state)) : .file(FilePath(state))
  }

  /// The state files, as far as their names are known before anything is opened.
  func stateFiles(_ namespaces: [NamespaceOptions]) -> [String] {
    switch statePlace(namespaces) {
    case .file(let path): [path.string]
    case .folder: []
    case .beside:
      namespaces.compactMap { one in
        guard let file = one.file, one.readOnly != true, !file.hasPrefix("/dev/") else {
          return nil
        }
        return URL(filePath: file).resolvingSymlinksInPath().path + ".nvme"
      }
    }
  }

  /// The directory for state that cannot be stored beside a file: StateDirectory= of systemd, or
  /// the usual one.
  private static var stateFolder: FilePath? {
    let environment = ProcessInfo.processInfo.environment
    if let given = environment["STATE_DIRECTORY"]?.split(separator: ":").first {
      return FilePath(String(given))
    }
    if geteuid() == 0 { return "/var/lib/vfio-user" }
    let base =
      environment["XDG_STATE_HOME"] ?? environment["HOME"].map { $0 + "/.local/state" }
    return base.map { FilePath($0 + "/vfio-user") }
  }

  private static func isFolder(_ path: String) -> Bool {
    var facts = stat()
    // Sound: string and result are lent for the duration of the call.
    return unsafe stat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
  }
}

extension NamespaceOptions {
  /// Opens the storage of the namespace, and locks it unless another process has it still.
  func open(
    isIncoming: Bool = false, server: NBDSettings = NBDSettings(), usesHugePages: Bool = false
  ) throws -> NamespaceConfiguration {
    let checked = try check()
    if let nbd {
      return NamespaceConfiguration(
        try connect(to: nbd, checked.cache, server, isIncoming: isIncoming),
        blockSize: checked.blockSize, globallyUniqueID: checked.globallyUniqueID)
    }
    return NamespaceConfiguration(
      try file == nil
        ? makeMemory(checked.bytes, usesHugePages)
        : open(checked.bytes, checked.cache, isIncoming: isIncoming),
      blockSize: checked.blockSize, globallyUniqueID: checked.globallyUniqueID)
  }

  private func makeMemory(_ bytes: UInt64?, _ usesHugePages: Bool) throws -> StorageFile {
    guard let bytes else { throw CommandError("a disk in memory needs a size.") }
    do {
      if usesHugePages { try HugePages.check() }
      return try StorageFile(
        memory: bytes, isReadOnly: readOnly ?? false, usesHugePages: usesHugePages)
    } catch let refusal as HugePages.Refusal {
      throw CommandError("--huge-pages: \(refusal)")
    } catch {
      throw CommandError("no memory for the disk: \(error)")
    }
  }

  private func open(
    _ bytes: UInt64?, _ cache: CacheMode, isIncoming: Bool
  ) throws -> StorageFile {
    guard let file else { throw CommandError("the namespace has no file.") }
    do {
      return try StorageFile(
        path: FilePath(file), create: bytes, cache: cache, isReadOnly: readOnly ?? false,
        isIncoming: isIncoming)
    } catch {
      throw CommandError(explain(error, file))
    }
  }

  private func connect(
    to text: String, _ cache: CacheMode, _ server: NBDSettings, isIncoming: Bool
  ) throws -> NBDExport {
    do {
      return try NBDExport(
        NBDAddress(parsing: text), isDurable: cache == .writeThrough, isReadOnly: readOnly ?? false,
        settings: server, isIncoming: isIncoming)
    } catch NBDError.connection(_, let code) where code == ENOENT || code == ECONNREFUSED {
      throw CommandError(
        "\(text): nobody listens there. Start the server first: qemu-nbd -t -k SOCKET IMAGE, for example, or nbdkit."
      )
    } catch NBDError.connection(let reason, _) {
      throw CommandError("\(text): \(reason). nbdinfo '\(text)' shows what the server has.")
    } catch {
      throw CommandError("\(text): \(error)")
    }
  }

  /// The cause and the remedy for a file that cannot be opened.
  func explain(_ failure: SystemCallError, _ file: String) -> String {
    switch (failure.call, failure.code) {
    case ("open", .noSuchFileOrDirectory):
      size == nil
        ? "there is no file \(file). With --size 10G for example it is made."
        : "there is no folder for \(file). Make it first."
    case ("open", .notSupported): "\(file) is neither a file nor a block device."
    case ("open", .invalidArgument): "the file system of \(file) has no direct I/O."
    case ("open", .resourceBusy):
      "\(file) is in use: it is mounted, part of another device, or served under another name. Unmount it, or serve it --read-only."
    case ("open", .permissionDenied), ("open", .readOnlyFileSystem):
      "\(file) cannot be written to: \(failure.code). Change that, or serve it --read-only."
    case ("fcntl(F_OFD_SETLK)", .resourceTemporarilyUnavailable):
      readOnly == true
        ? "somebody else writes to \(file)."
        : "somebody else uses \(file); only --read-only disks can share a file. The target of a migration starts with --incoming."
    case ("fcntl(F_OFD_SETLK)", _):
      "\(file) cannot be locked: \(failure.code). Two processes could write to it, so it is not served."
    case ("ftruncate", .fileTooLarge):
      "\(file) cannot become so large: the file system or a limit of the process (ulimit -f) is against it."
    default: "\(file): \(failure)"
    }
  }
}

/// Creates a disk, or throws an error in words for the user.
func makeDisk(
  _ context: DeviceContext, _ configuration: NVMeConfiguration
) throws -> NVMeDevice {
  do {
    return try NVMeDevice(context, configuration)
  } catch NVMeDevice.ValidationError.outOfRange(let what, let value, let range) {
    throw CommandError(
      "\(value) \(what): it has to be \(range.lowerBound) to \(range.upperBound).")
  } catch NVMeDevice.ValidationError.empty(let name) {
    throw CommandError("\(name) is smaller than one block. With --size it is made larger.")
  } catch NVMeDevice.ValidationError.unaligned(let name, let size, let alignment) {
    throw CommandError(
      "\(name) has blocks of \(size) bytes, and direct I/O with it needs pieces of \(alignment). Choose --block-size \(alignment), unless the guest has formatted it, or another --cache."
    )
  } catch NVMeDevice.ValidationError.globallyUniqueID(let namespace, let digits) {
    throw CommandError(
      "namespace \(namespace) has the NGUID \(digits), which is none or another one's. Give it its own with nguid=."
    )
  } catch {
    throw CommandError("\(error)")
  }
}
