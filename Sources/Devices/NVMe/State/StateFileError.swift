public import SystemPackage

/// Why the state of a disk cannot be had, so that the disk cannot be served as the guest left it.
@nonexhaustive
public enum StateFileError: Error, Equatable, Sendable, CustomStringConvertible {
  /// There is something else at its path.
  case foreign(FilePath)
  /// Neither of its two copies is whole.
  case damaged(FilePath)
  /// It was written by a program that knows more.
  case newer(FilePath, version: UInt32, known: UInt32)
  /// Somebody else has it open.
  case inUse(FilePath)
  /// The system does not let us have it.
  case system(FilePath, SystemCallError)
  /// The state of this image is somewhere else, and two of them would contradict each other.
  case elsewhere(FilePath, wanted: FilePath)
  /// It is the state of another image, which is still there.
  case ofAnother(FilePath, image: String)
  /// Somebody else has had the disk since it was given up, so that a state from before would not fit it.
  case changed(FilePath)
  /// One file is to hold the state of several images.
  case shared(FilePath, images: Int)

  /// What happened, and what to do about it.
  public var description: String {
    switch self {
    case .foreign(let path):
      "\(path) is no state of a disk, and is left alone. Keep the state of the disk elsewhere, or move that file away."
    case .damaged(let path):
      "\(path), the state of a disk, is damaged. Move it away; the disk is then a new one to the guest, and the size of its blocks has to be said if the guest has formatted it."
    case .newer(let path, let version, let known):
      "\(path), the state of a disk, has version \(version), and this program knows \(known). Use the program that wrote it."
    case .inUse(let path): "\(path), the state of a disk, is used by somebody else."
    case .system(let path, let failure):
      "\(path), the state of a disk: \(failure). Put that right, or keep the state elsewhere."
    case .elsewhere(let path, let wanted):
      "the state of the disk is in \(path), not in \(wanted). Move it there, or say that it is where it is."
    case .ofAnother(let path, let image): "\(path) is the state of \(image), another disk."
    case .changed(let path):
      "\(path), the state of a disk, is not as this process left it: another process has had the disk. Continue there, or start this process again."
    case .shared(let path, let images):
      "\(path) can keep the state of one file, not of \(images). Make it a folder."
    }
  }
}
