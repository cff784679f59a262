internal import Glibc

/// The environment variable by which a program tells its successor what to do.
enum UpgradeVariable: Equatable {
  /// Check whether what is in the memory file could be taken over; touch nothing.
  case trial(file: Int32)
  /// Take over what is in the memory file. If that fails, execute the program behind `image`.
  case takeOver(file: Int32, image: Int32)
  /// The new version has failed: take over again what is in the memory file. `image` is the file of this program.
  case goBack(file: Int32, image: Int32, reason: String)

  static let name = "VFIO_USER_UPGRADE"
  /// The value of the variable.
  var text: String {
    switch self {
    case .trial(let file): "trial:\(file)"
    case .takeOver(let file, let image): "take-over:\(file):\(image)"
    case .goBack(let file, let image, let reason): "go-back:\(file):\(image):\(reason)"
    }
  }

  /// Parses the value of the variable; nil for anything else.
  init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false)
      .map(String.init)
    let numbers = parts.dropFirst().prefix(2).compactMap { Int32($0) }.filter { $0 > 2 }
    switch (parts[0], parts.count, numbers.count) {
    case ("trial", 2, 1): self = .trial(file: numbers[0])
    case ("take-over", 3, 2): self = .takeOver(file: numbers[0], image: numbers[1])
    case ("go-back", 4, 2):
      self = .goBack(file: numbers[0], image: numbers[1], reason: parts[3])
    default: return nil
    }
  }

  /// Takes the variable out of the environment, so that no process started later finds it.
  static func take() -> UpgradeVariable? {
    // Sound: nothing else runs yet; the value is copied at once.
    guard let text = unsafe getenv(name).map({ unsafe String(cString: $0) }) else { return nil }
    // Sound: as above. The descriptors that systemd has numbered have other numbers by now.
    for one in [name, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { _ = unsafe unsetenv(one) }
    return UpgradeVariable(text)
  }
}
