import CLinux
import Foundation
import TestSupport
import VFIOUserTransport

/// What a guest has in its memory when it starts: busybox, the script of ``GuestInit``, and more.
struct GuestImage: Hashable, Sendable {
  /// Of `guestroot`, with their libraries; in /bin.
  var programs: [String] = []
  /// Modules of the kernel that are loaded at the start, in this order.
  var modules: [String] = []
  /// Commands that run at the start, see ``GuestInit``.
  var prelude = ""
  /// Contents by path, executable.
  var files: [String: [UInt8]] = [:]

  /// The finished archive's path; made at the first use, gone with this process.
  func archive() throws -> String { try ImageStore.shared.path(of: self) }

  /// Puts the same files into a folder, for a file system on a disk.
  func unpack(into folder: String) throws {
    for file in try contents() {
      let path = URL(filePath: "\(folder)/\(file.path)")
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(file.bytes).write(to: path)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path.path)
    }
  }

  fileprivate func bytes() throws -> [UInt8] {
    var archive = Initramfs()
    for folder in ["bin", "etc", "lib", "lib/x86_64-linux-gnu", "lib64", "modules"] {
      archive.addFolder(folder)
    }
    for file in try contents() { archive.addFile(file.path, file.bytes, isExecutable: true) }
    return archive.finished()
  }

  private func contents() throws -> [(path: String, bytes: [UInt8])] {
    let start = Array(GuestInit.script(prelude: load + prelude).utf8)
    return try [("init", start), ("bin/busybox", content(GuestEnvironment.busybox))]
      + files.map { ($0.key, $0.value) }
      + modules.map { ("modules/\($0).ko", try content(GuestEnvironment.module($0))) }
      + (programs.isEmpty ? [] : programFiles())
  }

  /// Busybox takes its own applet rather than a program of the same name, but a function first.
  private var load: String {
    modules.map { "insmod /modules/\($0).ko || echo '\($0) does not load'\n" }.joined()
      + programs.map { "\($0)() { /bin/\($0) \"$@\"; }\n" }.joined()
  }

  private func programFiles() throws -> [(path: String, bytes: [UInt8])] {
    let root = GuestEnvironment.programs
    let found = try programs.map { name in
      let places = ["sbin", "bin"].map { root.appending(path: "\($0)/\(name)") }
      guard let file = places.first(where: { FileManager.default.fileExists(atPath: $0.path) })
      else { throw HarnessError("\(root.path) has no program \(name)") }
      return file
    }
    let settings = GuestEnvironment.folder.appending(path: "guestroot/etc/mke2fs.conf")
    return try [("etc/mke2fs.conf", content(settings))]
      + zip(programs, found).map { ("bin/\($0)", try content($1)) }
      + Self.libraries(of: found).map { library in
        let name = library.lastPathComponent
        let folder = name.hasPrefix("ld-") ? "lib64" : "lib/x86_64-linux-gnu"
        return ("\(folder)/\(name)", try content(library))
      }
  }

  /// Asks the loader of `guestroot` itself; it lists a program's libraries one a line, as
  /// `NAME => PATH (0xADDRESS)`.
  private static func libraries(of programs: [URL]) throws -> [URL] {
    let folder = GuestEnvironment.programs.appending(path: "lib/x86_64-linux-gnu")
    let loader = folder.appending(path: "ld-linux-x86-64.so.2")
    let search = [folder.path, folder.appending(path: "ceph").path].joined(separator: ":")
    // The last is loaded by name, when a thread is cancelled.
    var found: Set = [loader, folder.appending(path: "libgcc_s.so.1")]
    for program in programs {
      let said = try ToolRun.output(of: loader, ["--library-path", search, "--list", program.path])
      for line in said.split(separator: "\n") {
        let words = line.split(separator: " ")
        if words.count == 4, words[1] == "=>" { found.insert(URL(filePath: String(words[2]))) }
      }
    }
    return found.sorted { $0.path < $1.path }
  }

  private func content(_ file: URL) throws -> [UInt8] { try [UInt8](Data(contentsOf: file)) }
}

/// The archives that were made: in memory, so that they are gone with this process.
private final class ImageStore: Sendable {
  static let shared = ImageStore()
  private let made = Monitor<[GuestImage: MemoryFile]>([:])

  func path(of image: GuestImage) throws -> String {
    if let file = made.withLock({ $0[image] }) { return file.path }
    let file = try MemoryFile(image.bytes())
    made.withLock { $0[image] = file }
    return file.path
  }
}

/// A file without a name, which other processes open through this one.
private final class MemoryFile: Sendable {
  private let descriptor: OwnedDescriptor

  var path: String {
    "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(descriptor.number)"
  }

  init(_ content: [UInt8]) throws {
    descriptor = OwnedDescriptor(
      adopting: try checked(
        "memfd_create", unsafe clinux_unsealed_memory_file("vfio-user-initramfs", 0)))
    try Data(content).write(to: URL(filePath: path))
  }
}
