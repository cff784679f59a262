internal import Glibc

/// The environment variable by which a program tells its successor what to do.
enum UpgradeVariable: Equatable {
  /// Check whether what is in the memory file could be taken over; touch nothing.
  case trial(file: Int32)
  /// Take over what is in the memory file. If that fails, execute the program behind `image`.
  case takeOver(file: Int32, image: Int32)
  /// The new version has failed: take over again what is in the memory file.
  case goBack(file: Int32, reason: String)

  static let name = "VFIO_USER_UPGRADE"
  /// In place of the reason, for `clinux_arm_fallback`.
  static let anyReason = "%s"

  /// The value of the variable.
  var text: String {
    switch self {
    case .trial(let file): "trial:\(file)"
    case .takeOver(let file, let image): "take-over:\(file):\(image)"
    case .goBack(let file, let reason): "go-back:\(file):\(reason)"
    }
  }

  /// Parses the value of the variable; nil for anything else.
  init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 2).map(String.init)
    guard parts.count >= 2, let file = Int32(parts[1]), file > 2 else { return nil }
    switch (parts[0], parts.count) {
    case ("trial", 2): self = .trial(file: file)
    case ("take-over", 3):
      guard let image = Int32(parts[2]), image > 2 else { return nil }
      self = .takeOver(file: file, image: image)
    case ("go-back", _):
      let reason = parts.count > 2 ? parts[2] : ""
      self = .goBack(file: file, reason: String(reason.reversed().drop { $0 == " " }.reversed()))
    default: return nil
    }
  }

  /// Takes the variable out of the environment, so that no process started later finds it.
  static func take() -> UpgradeVariable? {
    // Sound: nothing else runs yet; the value is copied at once.
    guard let text = unsafe getenv(name).map({ unsafe String(cString: $0) }) else { return nil }
    // Sound: as above.
    _ = unsafe unsetenv(name)
    return UpgradeVariable(text)
  }
}
