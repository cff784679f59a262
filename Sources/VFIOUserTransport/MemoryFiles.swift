/// Which files of a peer are mapped.
///
/// A page of a file on a file system that somebody serves (FUSE, a network) may never come. The thread that
/// touches it then waits for ever, with the memory map of the process locked: every other thread that maps, or
/// touches a page for the first time, waits as well, and the process cannot even be killed.
public enum MemoryFiles: String, Equatable, Sendable, CaseIterable {
  /// Files in the memory of this kernel: memfd, tmpfs (also shared anonymous memory), hugetlbfs.
  case memory
  /// Files of any kind: for peers that are trusted as much as this process.
  case any
}
