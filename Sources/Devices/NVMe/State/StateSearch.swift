internal import FoundationEssentials
internal import Logging
internal import SystemPackage

/// The search for an image's state: first by what the image is, then by its name; else one is made.
struct StateSearch {
  private let image: Storage
  private let identity: String?
  private let logger: Logger
  /// Where it may be, the best place first.
  private let places: [FilePath]
  /// The folder that may be made.
  private let spareFolder: FilePath?
  /// Whether its owner has said where it is.
  private let isChosen: Bool
  /// Whether that is one file, so that no other is looked for.
  private let isFile: Bool

  private static let suffix = ".nvme"

  init(_ image: Storage, at place: StatePlace, logger: Logger) {
    self.image = image
    self.logger = logger
    let path = image.canonicalPath ?? FilePath(image.name)
    let identity = image.identity
    self.identity = identity
    func name(in folder: FilePath) -> FilePath {
      // Files of one name are told apart by their paths, devices by what they are.
      let whole = image.kind == .file ? path.string : identity ?? path.string
      let hash = UniqueID(of: whole).hexadecimal.suffix(16)
      return folder.appending((path.lastComponent?.string ?? "disk") + "-\(hash)" + Self.suffix)
    }
    var places: [FilePath] = []
    var spareFolder: FilePath?
    switch place {
    case .file(let path): places = [path]
    case .folder(let folder): places = [name(in: folder)]
    case .beside(let spare):
      if image.kind == .file { places = [path.named(Self.suffix)] }
      if let spare { places.append(name(in: spare)) }
      spareFolder = spare
    }
    self.places = places
    if case .beside = place { isChosen = false } else { isChosen = true }
    if case .file = place { isFile = true } else { isFile = false }
    self.spareFolder = spareFolder
  }

  /// - Returns: nil when there is none and none can be made.
  func open() throws(StateFileError) -> StateStore? {
    if let path = try findByIdentity() { return try adopt(path, isKnown: true) }
    for path in places where try look(at: path) != nil {
      return try adopt(path, isKnown: false)
    }
    if isChosen, let beside = image.canonicalPath?.named(Self.suffix), identity != nil,
      record(at: beside)?.image == identity
    {
      throw .elsewhere(beside, wanted: places[0])
    }
    return image.isReadOnly || !image.isHeld ? nil : make()
  }

  /// The place of a state that says it is of this very image; one under another name gets the right one.
  private func findByIdentity() throws(StateFileError) -> FilePath? {
    guard identity != nil else { return nil }
    for path in places {
      if case .state(let record, _)? = try look(at: path), record.image == identity { return path }
    }
    for place in places where !isFile {
      for path in states(in: place.folder) {
        guard record(at: path)?.image == identity else { continue }
        guard !image.isReadOnly, image.isHeld else { return path }
        path.take(name: place)
        // Where nothing can be renamed, it is used where it is.
        return record(at: place)?.image == identity ? place : path
      }
    }
    return nil
  }

  private func look(at path: FilePath) throws(StateFileError) -> StateFile.Look? {
    try StateFile.open(path, isWritable: false)?.look()
  }

  /// What a file keeps that may be anything.
  private func record(at path: FilePath) -> StateRecord? {
    guard let found = try? look(at: path), case .state(let record, _) = found else { return nil }
    return record
  }

  private func states(in folder: FilePath) -> [FilePath] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.string)) ?? []
    return names.filter { $0.hasSuffix(Self.suffix) }.sorted().map { folder.appending($0) }
  }

  // MARK: What is there

  private func adopt(_ path: FilePath, isKnown: Bool) throws(StateFileError) -> StateStore? {
    guard !image.isReadOnly, let file = try openWritable(path) else {
      return try readOnly(path, isKnown: isKnown)
    }
    guard image.isHeld else { return try waiting(path, isKnown: isKnown) }
    try file.lock()
    switch try file.look() {
    case .state(let record, let sequence):
      let store = StateStore(path, record, sequence: sequence, file: file, isKnown: isKnown)
      return try adopt(store, isKnown: isKnown)
    case .empty: return try fill(file, path)
    case .old(let old): return try replace(path, old)
    }
  }

  /// - Returns: nil when it can only be read.
  private func openWritable(_ path: FilePath) throws(StateFileError) -> StateFile? {
    do throws(StateFileError) {
      return try StateFile.open(path, isWritable: true)
    } catch .system(_, let failure)
      where [.permissionDenied, .readOnlyFileSystem, .notPermitted].contains(failure.code)
    {
      return nil
    }
  }

  /// What is kept counts, but nothing can be kept any more.
  private func readOnly(_ path: FilePath, isKnown: Bool) throws(StateFileError) -> StateStore? {
    if !image.isReadOnly { notKept("the state can only be read", path) }
    switch try look(at: path) {
    case .state(let record, let sequence)?:
      return StateStore(path, record, sequence: sequence, file: nil, isKnown: isKnown)
    case .old(let old)?:
      var record = fresh(at: path)
      record.controller = old.controller
      record.blockSize = old.blockSize(of: NamespaceConfiguration(image))
      return StateStore(path, record, sequence: 0, file: nil, old: old)
    default: return nil
    }
  }

  /// Another process has it, and gives it up with the image.
  private func waiting(_ path: FilePath, isKnown: Bool) throws(StateFileError) -> StateStore? {
    guard case .state(let record, let sequence)? = try look(at: path) else { return nil }
    return StateStore(
      path, record, sequence: sequence, file: nil, isKnown: isKnown, isWaiting: true)
  }

  /// Writes down which image it is of now.
  private func adopt(_ store: StateStore, isKnown: Bool) throws(StateFileError) -> StateStore {
    let before = store.record
    var record = before
    let isSame = isKnown || identity == nil && before.image == nil
    if !isSame, isChosen, before.place == Self.place(of: store.path), isCopied(before) {
      throw .ofAnother(store.path, image: before.path ?? "")
    }
    if !isSame, image.wasMade {
      logger.notice(
        "the image is new: what was kept of an earlier one is dropped", metadata: said(store.path))
      record = fresh(at: store.path)
    } else if !isSame, isCopied(before) {
      logger.notice("the image is a copy: it gets a name of its own", metadata: said(store.path))
      record.identity = .random()
    }
    record.image = identity
    record.path = whereItIs
    record.place = Self.place(of: store.path)
    guard record != before else { return store }
    do throws(SystemCallError) {
      try store.update { $0 = record }
    } catch {
      throw .system(store.path, error)
    }
    return store
  }

  /// Whether the image that the state was of is still where it was, beside this one.
  private func isCopied(_ record: StateRecord) -> Bool {
    guard let path = record.path, path != whereItIs, let before = record.image else { return false }
    return StorageFile.identity(at: FilePath(path)) == before
  }

  private func fill(_ file: StateFile, _ path: FilePath) throws(StateFileError) -> StateStore {
    let record = fresh(at: path)
    do throws(SystemCallError) {
      for sequence in 1...2 as ClosedRange<UInt64> {
        try file.write(record, sequence: sequence)
      }
    } catch {
      throw .system(path, error)
    }
    return StateStore(path, record, sequence: 2, file: file)
  }

  private func replace(_ path: FilePath, _ old: OldState) throws(StateFileError) -> StateStore {
    logger.notice(
      "the state is of an earlier version, and is brought up to date", metadata: said(path))
    var record = fresh(at: path)
    record.controller = old.controller
    do throws(SystemCallError) {
      let file = try StateFile.make(path, record, isInPlace: true)
      return StateStore(path, record, sequence: 2, file: file, isKnown: true, old: old)
    } catch {
      throw .system(path, error)
    }
  }

  // MARK: What is new

  private func make() -> StateStore? {
    var failure: (path: FilePath, why: SystemCallError)?
    for path in places {
      if path.folder == spareFolder {
        try? FileManager.default.createDirectory(
          atPath: path.folder.string, withIntermediateDirectories: true,
          attributes: [.posixPermissions: 0o755])
      }
      do throws(SystemCallError) {
        let record = fresh(at: path)
        let file = try StateFile.make(path, record, isInPlace: false)
        return StateStore(path, record, sequence: 2, file: file, wasMade: true)
      } catch {
        failure = failure ?? (path, error)
      }
    }
    notKept(failure.map { "\($0.why)" } ?? "there is no place for it", failure?.path)
    return nil
  }

  private func fresh(at path: FilePath) -> StateRecord {
    StateRecord(
      identity: .random(), image: identity, path: whereItIs, place: Self.place(of: path))
  }

  private var whereItIs: String? { image.canonicalPath.flatMap(Self.short) }

  /// The same wherever the program was started.
  private static func place(of path: FilePath) -> String? {
    guard let name = path.lastComponent else { return nil }
    return short((path.folder.resolved ?? path.folder).appending(name))
  }

  /// Nil for a path that would fill the state.
  private static func short(_ path: FilePath) -> String? {
    path.string.utf8.count <= 1024 ? path.string : nil
  }

  private func notKept(_ why: String, _ path: FilePath?) {
    logger.notice(
      "what a guest changes of this namespace cannot be kept, and is not offered: its block size, saved features",
      metadata: [
        "file": "\(image.name)", "reason": "\(why)", "state": "\(path?.string ?? "nowhere")",
      ])
  }

  private func said(_ path: FilePath) -> Logger.Metadata {
    ["file": "\(image.name)", "state": "\(path)"]
  }
}
