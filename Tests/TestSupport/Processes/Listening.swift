internal import Foundation

/// Whether somebody listens on a socket; asking the kernel does not disturb him.
package func isListening(on path: String) -> Bool {
  let accepting = "00010000"  // The flag __SO_ACCEPTCON
  // Somebody else's socket may have a name that is no UTF-8.
  // The kernel hands out a page at a time, and a read that stops at the first would miss the newest sockets.
  let file = FileHandle(forReadingAtPath: "/proc/net/unix")
  var bytes = Data()
  while let more = try? file?.read(upToCount: 1 << 16), !more.isEmpty { bytes += more }
  let table = String(decoding: bytes, as: UTF8.self)
  return table.split(separator: "\n").contains {
    let fields = $0.split(separator: " ")
    return fields.count >= 8 && fields[3] == accepting && fields[7] == path
  }
}
