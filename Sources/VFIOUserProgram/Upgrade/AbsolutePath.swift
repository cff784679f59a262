internal import Glibc

/// Paths for another process, which has another working directory.
package enum AbsolutePath {
  /// The absolute form of a path.
  ///
  /// - Throws: ``CommandError`` if the working directory has no name.
  package static func of(_ path: String) throws -> String {
    guard !path.hasPrefix("/") else { return path }
    // Sound: the C library allocates the string, and it is freed here.
    guard let folder = unsafe getcwd(nil, 0) else {
      throw CommandError("the working directory is gone; give an absolute path")
    }
    defer { unsafe free(folder) }
    guard let text = unsafe String(validatingCString: folder) else {
      throw CommandError("the name of the working directory is not UTF-8; give an absolute path")
    }
    return text == "/" ? "/\(path)" : "\(text)/\(path)"
  }
}
