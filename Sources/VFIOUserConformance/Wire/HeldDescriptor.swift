internal import CLinux
internal import Glibc
package import LinuxPrimitives

/// A descriptor that several messages may carry; closed with its last reference.
package final class HeldDescriptor: Sendable {
  let owned: OwnedDescriptor

  /// Takes over a descriptor.
  package init(_ descriptor: consuming OwnedDescriptor) { owned = descriptor }

  /// A descriptor of an eventfd, which stays open.
  package convenience init(_ counter: EventFD) throws(SystemCallError) {
    self.init(try counter.descriptor.duplicate())
  }

  /// A memory file of `size` bytes, of which the kernel can tell whether somebody still has it mapped for writing
  /// (``isMapped``).
  package static func memory(_ size: UInt64) throws(SystemCallError) -> HeldDescriptor {
    let number = unsafe clinux_sealable_memory_file("vfio-user-check", size, 0)
    return HeldDescriptor(OwnedDescriptor(adopting: try checked("memfd_create", number)))
  }

  /// Whether a writable mapping of this memory file exists.
  ///
  /// It asks the kernel for a seal against writing, which is refused while there is such a mapping. Once it is
  /// granted nobody can write to the file any more.
  package var isMapped: Bool { clinux_seal(owned.number, 1) != 0 }

  /// Whether it is an eventfd.
  package var isCounter: Bool { clinux_is_eventfd(owned.number) == 1 }

  /// Whether it is a socket.
  package var isSocket: Bool {
    var status = stat()
    return unsafe fstat(owned.number, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
  }

  /// The size of a file that can be mapped, nil for anything else.
  package var mappableSize: UInt64? {
    let size = clinux_mappable_size(owned.number)
    return size < 0 ? nil : UInt64(size)
  }

  /// Reads from a mapping of the file; nil if it cannot be mapped there.
  ///
  /// - Parameters:
  ///   - offset: a multiple of the page size.
  ///   - count: at most a page.
  package func mapped(at offset: UInt64, count: Int) -> [UInt8]? {
    var address: UnsafeMutableRawPointer?
    let size = UInt64(4096)
    guard count <= 4096, unsafe clinux_map(owned.number, offset, size, 1, 0, &address) == 0,
      let address = unsafe address
    else { return nil }
    defer { _ = unsafe clinux_unmap(address, size) }
    // Sound: a page is mapped there until the end of this function, and the guard turns SIGBUS into an error.
    clinux_guard_install()
    clinux_guard_enter_thread()
    var bytes = [UInt8](repeating: 0, count: count)
    guard unsafe clinux_guarded_copy(&bytes, address, count) == 0 else { return nil }
    return bytes
  }
}
