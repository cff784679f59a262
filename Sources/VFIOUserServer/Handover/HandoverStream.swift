internal import CLinux
package import LinuxPrimitives
internal import SystemPackage

/// Everything that a new version of a program needs, as a stream of sections in a sealed memory file.
///
/// The form is that of a device's state (``StateForm``); the section `program` is the program's own, and there is
/// a section `server` for each server.
package enum HandoverStream {
  private static let program = "program"
  private static let server = "server"
  /// The version of both sections; a program refuses others.
  private static let version: UInt16 = 1

  /// Writes a stream.
  ///
  /// - Returns: the memory file, which nobody can change any more.
  package static func write(
    _ content: some Encodable, _ servers: [some Encodable]
  ) throws(HandoverError) -> OwnedDescriptor {
    try HandoverError.wrapping {
      var writer = try StateWriter(limit: UInt64(servers.count + 2) * UInt64(StateForm.maxContent))
      try writer.add(program, version: version, content)
      for one in servers { try writer.add(server, version: version, one) }
      try writer.end()
      let file = try writer.file.descriptor.duplicate()
      _ = try checked("fcntl(F_ADD_SEALS)", clinux_seal_all(file.number))
      return file
    }
  }

  /// Reads a stream.
  ///
  /// - Throws: when it is damaged, or of a version that this program does not know.
  package static func read<Content: Decodable, Server: Decodable>(
    _ descriptor: consuming OwnedDescriptor, as content: Content.Type, servers: Server.Type
  ) throws(HandoverError) -> (Content, [Server]) {
    let file = try HandoverError.wrapping { [descriptor = descriptor.release()] in
      try StateFile(adopting: OwnedDescriptor(adopting: descriptor))
    }
    return try HandoverError.wrapping {
      let reader = try StateReader(file)
      guard let first = reader.sections.first, first.name == program,
        reader.sections.dropFirst().allSatisfy({ $0.name == server })
      else { throw HandoverError("the program that ends here has left nothing that is known") }
      for section in reader.sections where section.version != version {
        throw HandoverError(
          "what is handed over has version \(section.version), this program knows version \(version)"
        )
      }
      return (
        try reader.decode(content, first),
        try reader.sections.dropFirst().map { try reader.decode(servers, $0) }
      )
    }
  }
}
