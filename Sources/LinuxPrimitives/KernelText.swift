package import SystemPackage

/// What the kernel says in a file of /proc or /sys, which it gives a page at a time, and whose size says nothing.
///
/// - Throws: why it cannot be read.
package func kernelText(_ path: String) throws(Errno) -> String {
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 1 << 16)
  do {
    let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
    try file.closeAfter {
      while true {
        // Sound: the buffer is the array's own, for the length of the call.
        let count = try unsafe piece.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
        guard count > 0 else { return }
        bytes += piece[..<count]
      }
    }
  } catch {
    throw error as? Errno ?? .ioError
  }
  return String(decoding: bytes, as: UTF8.self)
}
