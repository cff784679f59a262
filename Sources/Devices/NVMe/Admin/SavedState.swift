internal import FoundationEssentials
internal import Logging
internal import SystemPackage

/// What outlives the process: counters, saved features, block sizes that the host has chosen.
struct SavedState: Codable, Equatable {
  var bytesRead: UInt64 = 0
  var bytesWritten: UInt64 = 0
  var hostReads: UInt64 = 0
  var hostWrites: UInt64 = 0
  var powerCycles: UInt64 = 0
  var unsafeShutdowns: UInt64 = 0
  var mediaErrors: UInt64 = 0
  var errorLogEntries: UInt64 = 0
  var busyTime: UInt64 = 0
  var powerOnTime: UInt64 = 0
  /// Whether a host had the controller enabled and has not shut it down.
  var isPowered = false
  /// By number.
  var features: [String: UInt32] = [:]
  /// Bytes of a block in the namespaces that a host has formatted, by their keys.
  var formats: [String: Int]? = [:]

  /// Reads a file; one that is not there or makes no sense counts as new.
  static func load(_ path: FilePath?, logger: Logger) -> SavedState {
    guard let path, let data = try? Data(contentsOf: URL(filePath: path.string)) else {
      return SavedState()
    }
    do {
      var state = try JSONDecoder().decode(SavedState.self, from: data)
      state.formats = state.formats?.filter {
        NamespaceConfiguration.blockSizes.contains($0.value)
      }
      return state
    } catch {
      logger.warning(
        "the saved state is not readable; starting anew",
        metadata: ["file": "\(path)", "error": "\(error)"])
      return SavedState()
    }
  }

  /// The size of a namespace's blocks: what a host has formatted it to, else what its owner says.
  func blockSize(of one: NamespaceConfiguration, among all: [NamespaceConfiguration]) -> Int {
    one.key(among: all).flatMap { formats?[$0] } ?? one.blockSize
  }

  /// Writes the file as a whole, or leaves the old one.
  func store(_ path: FilePath, logger: Logger) {
    do {
      try JSONEncoder().encode(self).write(to: URL(filePath: path.string), options: .atomic)
    } catch {
      logger.warning(
        "the state was not saved", metadata: ["file": "\(path)", "error": "\(error)"])
    }
  }
}

extension NamespaceConfiguration {
  /// What the namespace is called where the state is kept.
  ///
  /// Not its number: namespaces may change places. The file's name will do, without the folder, because disks
  /// are moved together with their state; unless another has the same.
  ///
  /// - Returns: nil for memory, which is gone with the process.
  func key(among all: [NamespaceConfiguration]) -> String? {
    guard file.kind != .memory else { return nil }
    if let globallyUniqueID {
      return "nguid "
        + globallyUniqueID.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    func last(_ file: StorageFile) -> String {
      FilePath(file.name).lastComponent?.string ?? file.name
    }
    let name = last(file)
    let namesakes = all.count { $0.file.kind != .memory && last($0.file) == name }
    return namesakes == 1 ? name : file.name
  }
}

extension Controller {
  /// How long counters may be lost when the process is killed.
  private static let savingPause: UInt64 = 60_000_000_000

  /// Whether the counters have changed, and were saved some time ago.
  var isTimeToSave: Bool {
    options.statePath != nil && health.powerOnTime &- savedAt > Self.savingPause
      && savedCommands != health.hostReads &+ health.hostWrites
  }

  /// Saves what has to outlive the process.
  func save() {
    savedAt = health.powerOnTime
    savedCommands = health.hostReads &+ health.hostWrites
    guard let path = options.statePath else { return }
    var state = SavedState()
    state.bytesRead = health.bytesRead
    state.bytesWritten = health.bytesWritten
    state.hostReads = health.hostReads
    state.hostWrites = health.hostWrites
    state.powerCycles = health.powerCycles
    state.unsafeShutdowns = health.unsafeShutdowns
    state.mediaErrors = health.mediaErrors
    state.errorLogEntries = health.errorLogEntries
    state.busyTime = health.busyTime
    state.powerOnTime = health.powerOnTime
    state.isPowered = health.isPowered
    state.features = Dictionary(
      uniqueKeysWithValues: features.saved.map { ("\($0.key)", $0.value) })
    state.formats = formats
    state.store(path, logger: logger)
  }
}
