internal import CLinux
internal import FoundationEssentials
internal import SystemPackage

/// The files that the program itself needs while it serves, and to be replaced by a new version of itself.
enum ProgramFiles {
  static var needs: [SandboxNeeds.File] {
    [
      // The program, and the loader that the kernel executes for it. No other file can be executed; memory can (memfd, by
      // execveat, as an upgrade does), and what it has executed is as confined as this process.
      ("/proc/self/exe", [.read, .execute]),
      ("/lib64/ld-linux-x86-64.so.2", [.read, .execute]),
      ("/etc/ld.so.cache", .read),
      // The time of the log.
      ("/etc/localtime", .read), ("/usr/share/zoneinfo", .read),
      // The number of processors.
      ("/sys/devices/system/cpu", .read),
      // What the process is and uses. Of this process only: /proc/self leads to its number.
      ("/proc/self", .read), ("/proc/sys/vm/max_map_count", .read),
      ("/dev/null", [.read, .write]),
      // A terminal or pipe that is opened again.
      ("/proc/self/fd/0", [.read, .write]), ("/proc/self/fd/1", [.read, .write]),
      ("/proc/self/fd/2", [.read, .write]),
    ].map { SandboxNeeds.File(FilePath($0.0), $0.1) } + libraries
  }

  /// The folders that libraries were loaded from: those of a new version are there as well.
  private static var libraries: [SandboxNeeds.File] {
    var folders: Set<String> = []
    // Sound: the context is the set, lent for the call, which calls back before it returns.
    unsafe withUnsafeMutablePointer(to: &folders) {
      unsafe clinux_each_loaded_object(
        { path, context in
          guard let path = unsafe path.map({ unsafe String(cString: $0) }),
            let end = path.lastIndex(of: "/"), end > path.startIndex
          else { return }
          let folders = unsafe context?.assumingMemoryBound(to: Set<String>.self)
          unsafe folders?.pointee.insert(String(path[..<end]))
        }, $0)
    }
    return folders.sorted().map { SandboxNeeds.File(FilePath($0), .read) }
  }
}
