internal import CLinux
internal import LinuxPrimitives

/// Why a file is not made larger.
package enum GrowthError: Error, Equatable, CustomStringConvertible {
  case memory
  case export
  case blockDevice
  case readOnly
  /// Another process has it now.
  case notHeld
  /// It has so many bytes, which is more.
  case smaller(than: UInt64)
  case system(SystemCallError)

  package var description: String {
    switch self {
    case .memory: "a disk in memory keeps its size"
    case .export: "an export is made larger at its server: do that, and then ask without a size"
    case .blockDevice:
      "it is no regular file: give the block device its size where it is made, and then ask without a size"
    case .readOnly: "it is read-only"
    case .notHeld: "another process has the disk"
    case .smaller(let size):
      "it has \(size) bytes, and a disk is not made smaller, because its guest would lose what is behind the end"
    case .system(let failure): "\(failure)"
    }
  }
}

extension StorageFile {
  /// Makes the file larger that is open, whatever its path leads to by now.
  package func grow(to size: UInt64) throws(GrowthError) {
    switch kind {
    case .memory: throw .memory
    case .export: throw .export
    case .blockDevice: throw .blockDevice
    case .file: break
    }
    guard !isReadOnly else { throw .readOnly }
    guard isHeld else { throw .notHeld }
    let present: UInt64
    do { present = try self.size() } catch { throw .system(error) }
    guard size >= present else { throw .smaller(than: present) }
    do {
      _ = try checked("ftruncate", clinux_storage_resize(descriptor.number, size))
    } catch {
      throw .system(error)
    }
  }
}
