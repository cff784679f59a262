internal import SystemPackage

/// What the kernel says in a file of /proc, whose size is 0 and which it gives a page at a time; nil where it cannot be read.
package func kernelText(_ path: String) -> String? {
  guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
  else { return nil }
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 1 << 16)
  let end: Void? = try? file.closeAfter {
    while true {
      // Sound: the buffer is the array's own, for the length of the call.
      let count = try unsafe piece.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
      guard count > 0 else { return }
      bytes += piece[..<count]
    }
  }
  return end.map { String(decoding: bytes, as: UTF8.self) }
}
