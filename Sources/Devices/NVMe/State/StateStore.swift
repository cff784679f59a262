internal import LinuxPrimitives
internal import Logging
public import SystemPackage

/// What is kept of one image, in a file of its own that this process holds open and locked for as long as it has the
/// image: from the start to the end, unless the disk migrates.
///
/// It belongs to the image and not to its place in a disk: wherever the image is found again, as whatever namespace
/// of whatever disk, its blocks and its name are what they were.
public final class StateStore: Sendable {
  /// Where it is.
  public let path: FilePath
  /// Whether this image has been served before, and is the same file.
  public let isKnown: Bool
  /// What a program before this one had kept there, of a whole disk.
  let old: OldState?
  /// Whether it can be changed, by the process that has it.
  public let isWritable: Bool
  /// The file while this process has it; nil too when it can only be read.
  private let file: Monitor<StateFile?>
  /// Whether it was made just now.
  package let wasMade: Bool
  /// What is in the file; never held while the disk is waited for.
  private let kept: Monitor<StateRecord>
  /// The sequence number of the last write; held during a write.
  private let sequence: Monitor<UInt64>

  /// - Parameter isWaiting: whether another process has the file and will give it up.
  init(
    _ path: FilePath, _ record: StateRecord, sequence: UInt64, file: StateFile?,
    isKnown: Bool = false, wasMade: Bool = false, old: OldState? = nil, isWaiting: Bool = false
  ) {
    self.path = path
    self.file = Monitor(file)
    isWritable = file != nil || isWaiting
    self.isKnown = isKnown
    self.wasMade = wasMade
    self.old = old
    kept = Monitor(record)
    self.sequence = Monitor(sequence)
  }

  /// Whether this process may change it now.
  var isHeld: Bool { file.withLock { $0 != nil } }

  /// What is in the file.
  var record: StateRecord { kept.withLock { $0 } }

  /// Changes what is kept, which is on the disk afterwards; or nothing is changed.
  ///
  /// Waits for the disk.
  func update(_ change: (inout StateRecord) -> Void) throws(SystemCallError) {
    try sequence.withLock { (sequence) throws(SystemCallError) in
      guard let file = file.withLock({ $0 }) else {
        throw SystemCallError(call: "open", code: .readOnlyFileSystem)
      }
      var new = record
      change(&new)
      // After a failure the same slot is written again: the other one is whole.
      try file.write(new, sequence: sequence &+ 1)
      sequence &+= 1
      kept.withLock { $0 = new }
    }
  }

  // MARK: A disk that migrates

  /// Gives the file up; what is kept can only be read from here on.
  func letGo() {
    // Not during a write.
    sequence.withLock { _ in file.withLock { $0 = nil } }
  }

  /// Reads what another process has kept by now.
  func refresh() throws(StateFileError) {
    guard isWritable, !isHeld else { return }
    let found = try StateFile.open(path, isWritable: false)?.look()
    guard case .state(let record, let sequence)? = found else { throw .changed(path) }
    self.sequence.withLock {
      $0 = sequence
      kept.withLock { $0 = record }
    }
  }

  /// Takes the file over, or back.
  ///
  /// - Throws: `changed` when it is not as it was seen last: somebody else has had the disk.
  func take() throws(StateFileError) {
    guard isWritable, !isHeld else { return }
    guard let new = try StateFile.open(path, isWritable: true) else { throw .changed(path) }
    try new.lock()
    try sequence.withLock { (sequence) throws(StateFileError) in
      guard case .state(record, sequence: sequence) = try new.look() else { throw .changed(path) }
      file.withLock { $0 = new }
    }
  }

  /// Writes the same once more, so that the process that had the disk before sees that somebody else has had it.
  func mark() throws(SystemCallError) {
    if isHeld { try update { _ in } }
  }

  /// Removes a file that was made just now, because the disk cannot be had.
  public func removeMadeFiles() {
    if wasMade { path.remove() }
  }
}

/// Where the state of images is kept.
@nonexhaustive
public enum StatePlace: Equatable, Sendable {
  /// Beside each image, as IMAGE.nvme; that of devices, and of images in folders that cannot be written to, in another
  /// folder, if there is one to be had. It is made when it is needed.
  case beside(otherwise: FilePath?)
  /// In a folder.
  case folder(FilePath)
  /// In this file, of a disk with one image.
  case file(FilePath)
}

extension NVMeConfiguration {
  /// Opens the state of all namespaces, or makes it.
  ///
  /// What cannot be kept is said in the log, and is not offered to the host.
  public mutating func openState(_ place: StatePlace) throws(StateFileError) {
    let images = namespaces.count { $0.storage.kind != .memory }
    if case .file(let path) = place, images > 1 { throw .shared(path, images: images) }
    for index in namespaces.indices where namespaces[index].storage.kind != .memory {
      let search = StateSearch(namespaces[index].storage, at: place, logger: logger)
      namespaces[index].store = try search.open()
    }
    try bringFormatsOver()
  }

  /// A disk once had one state for all its namespaces: each takes what is its own.
  private func bringFormatsOver() throws(StateFileError) {
    guard let old = namespaces.lazy.compactMap({ $0.store?.old }).first else { return }
    for one in namespaces {
      guard let store = one.store, store.isWritable, store.record.blockSize == nil,
        let size = old.blockSize(of: one)
      else { continue }
      do throws(SystemCallError) {
        try store.update { $0.blockSize = size }
      } catch {
        throw .system(store.path, error)
      }
    }
  }
}
