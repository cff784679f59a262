import Glibc
import SystemPackage
import VFIOUserProgram

extension ServeNVMe {
  /// Checks that the files of the namespaces exist, or that there is a directory to create them in.
  func look() throws {
    for one in try disk.namespaces() {
      guard let file = one.file else { continue }
      try Self.look(file, isMade: one.size != nil && one.readOnly != true, one.readOnly == true)
    }
  }

  private static func look(_ file: String, isMade: Bool, _ isReadOnly: Bool) throws {
    guard let reason = refusal(file, isReadOnly ? R_OK : R_OK | W_OK) else { return }
    guard reason == .noSuchFileOrDirectory else {
      throw CommandError("\(file) cannot be \(isReadOnly ? "read" : "written"): \(reason)")
    }
    guard isMade else {
      let remedy =
        isReadOnly ? "A read-only disk makes none." : "With --size 10G for example it is made."
      throw CommandError("there is no file \(file). \(remedy)")
    }
    let folder = FilePath(file).removingLastComponent()
    let name = folder.isEmpty ? "." : folder.string
    switch refusal(name, W_OK | X_OK) {
    case nil: break
    case .noSuchFileOrDirectory?:
      throw CommandError("there is no folder \(name) for \(file). Make it first.")
    case let reason?:
      throw CommandError("\(file) cannot be made in the folder \(name): \(reason)")
    }
  }

  /// The error that prevents an access; nil if it is permitted.
  private static func refusal(_ path: String, _ use: Int32) -> Errno? {
    // Sound: the string is lent for the duration of the call.
    unsafe access(path, use) == 0 ? nil : Errno(rawValue: errno)
  }
}
