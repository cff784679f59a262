internal import CLinux
public import VFIOUserTransport

/// Memory of a client that does what it likes with it: a memory file without seals.
public final class TruncatableMemory: Sendable {
  private let file: OwnedDescriptor

  /// A file of `size` bytes, all zeros.
  public init(size: UInt64) throws(SystemCallError) {
    file = OwnedDescriptor(
      adopting: try checked(
        "memfd_create", unsafe clinux_unsealed_memory_file("vfio-user-client", size)))
  }

  /// What a message carries.
  public func lent() throws(SystemCallError) -> OwnedDescriptor { try file.duplicate() }

  /// Cuts the file short, or makes it longer.
  public func resize(to size: UInt64) { _ = clinux_truncate(file.number, size) }
}
