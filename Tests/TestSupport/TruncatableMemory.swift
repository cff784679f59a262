internal import CLinux
package import VFIOUserTransport

/// Memory of a hostile client, which can resize it at any time: a memory file without seals.
package final class TruncatableMemory: Sendable {
  private let file: OwnedDescriptor

  /// Creates a file of `size` bytes, all zero.
  package init(size: UInt64) throws(SystemCallError) {
    file = OwnedDescriptor(
      adopting: try checked(
        "memfd_create", unsafe clinux_unsealed_memory_file("vfio-user-client", size)))
  }

  /// A duplicate of the descriptor, to be sent with a message.
  package func lent() throws(SystemCallError) -> OwnedDescriptor { try file.duplicate() }

  /// Changes the size of the file.
  package func resize(to size: UInt64) { _ = clinux_truncate(file.number, size) }
}
