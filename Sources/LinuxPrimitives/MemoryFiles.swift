/// Which of a peer's files may be mapped.
///
/// A page of a file on a file system served by somebody else (FUSE, network) may never arrive. A
/// thread that touches it then blocks forever while it holds the process's mmap lock: every other
/// thread that maps memory or takes a page fault blocks too, and the process cannot even be killed.
public enum MemoryFiles: String, Equatable, Sendable, CaseIterable {
  /// Files in this kernel's memory: memfd, tmpfs (shared anonymous memory included), hugetlbfs.
  case memory
  /// Any kind of file, for peers that are trusted as much as this process.
  case any
}
