package import Foundation

/// A folder for sockets and logs, which goes with its last reference.
///
/// It is in /tmp, whatever TMPDIR says: a socket's path has at most 107 bytes.
package final class ScratchFolder {
  package let url: URL

  package init() throws {
    let number = UInt64.random(in: .min ... .max)
    url = URL(filePath: "/tmp/vfio-user-guest-\(String(number, radix: 36))")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  }

  /// The path of something in the folder.
  package func path(_ name: String) -> String { url.appending(path: name).path }

  deinit { try? FileManager.default.removeItem(at: url) }
}
