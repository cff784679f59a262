internal import CLinux
internal import SystemPackage

/// What a passed descriptor refers to, as far as it can be found out without calling into a file
/// system, which a peer may serve itself.
package struct DescriptorNote: Equatable, Sendable {
  /// `memfd`, `eventfd`, `socket`, `pipe`, `file` or the kernel's name of an anonymous inode.
  package var kind: String
  /// Size in bytes of a file in memory.
  package var size: UInt64?
  /// Identifies files in memory: descriptors with the same number are of the same file.
  package var inode: UInt64?
  /// The name of a memfd, or the path of a file.
  package var name: String?

  package init(
    kind: String, size: UInt64? = nil, inode: UInt64? = nil, name: String? = nil
  ) {
    self.kind = kind
    self.size = size
    self.inode = inode
    self.name = name
  }

  /// Looks at an open descriptor.
  package init(of number: Int32) {
    var bytes = [UInt8](repeating: 0, count: 4096)
    // Sound: the array is lent for the call.
    let count = unsafe clinux_link_of_descriptor(number, &bytes, bytes.count)
    self.init(link: count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : "unknown")
    guard clinux_is_memory_file(number) == 1 else { return }
    var found: UInt64 = 0
    let measured = unsafe clinux_memory_file_status(number, &found)
    guard measured >= 0 else { return }
    (size, inode) = (UInt64(measured), found)
  }

  /// Interprets what `/proc/self/fd` shows.
  init(link: String) {
    let removed = " (deleted)"
    let target = link.hasSuffix(removed) ? String(link.dropLast(removed.utf8.count)) : link
    if target.hasPrefix("/memfd:") {
      self.init(kind: "memfd", name: String(target.dropFirst("/memfd:".utf8.count)))
    } else if target.hasPrefix("/") {
      self.init(kind: "file", name: target)
    } else if target.hasPrefix("anon_inode:") {
      let name = target.dropFirst("anon_inode:".utf8.count)
      self.init(kind: name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : String(name))
    } else {
      self.init(kind: String(target.prefix { $0 != ":" }))
    }
  }
}

extension DescriptorNote: CustomStringConvertible {
  /// For example `memfd size=536870912 inode=1027 name=ram`.
  ///
  /// Captures have the same text as a comment; ``init(text:)`` reads it. The name is last because it
  /// may contain anything.
  package var description: String {
    var words = [kind]
    if let size { words.append("size=\(size)") }
    if let inode { words.append("inode=\(inode)") }
    if let name { words.append("name=\(name)") }
    return words.joined(separator: " ")
  }

  /// Reads a description; what it does not know is left out.
  package init(text: String) {
    var rest = Substring(text)
    var name: String?
    if let range = rest.ranges(of: " name=").first {
      name = String(rest[range.upperBound...])
      rest = rest[..<range.lowerBound]
    }
    let words = rest.split(separator: " ")
    self.init(kind: words.first.map(String.init) ?? "unknown", name: name)
    for word in words.dropFirst() {
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let number = UInt64(parts[1]) else { continue }
      switch parts[0] {
      case "size": size = number
      case "inode": inode = number
      default: break
      }
    }
  }
}
