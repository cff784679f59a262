import Foundation
import TestSupport

/// Programs of ours that run in guests, in C: `Tests/GuestPrograms`.
///
/// A guest has no libraries but those of its tools, so they are linked statically.
enum GuestProgram {
  /// Whether this machine can make them.
  static let compiler = ToolRun.find("cc", "gcc", "clang")

  /// Compiles a program.
  ///
  /// - Returns: the executable's bytes.
  static func compiled(_ name: String) throws -> [UInt8] {
    guard let compiler else { throw HarnessError("no C compiler: install gcc and libc6-dev") }
    let source = GuestEnvironment.package.appending(path: "Tests/GuestPrograms/\(name).c")
    let folder = try ScratchFolder()
    let flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror"]
    try ToolRun.output(of: compiler, flags + ["-o", folder.path(name), source.path])
    return try [UInt8](Data(contentsOf: URL(filePath: folder.path(name))))
  }
}
