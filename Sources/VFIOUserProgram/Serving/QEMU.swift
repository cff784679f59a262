internal import FoundationEssentials
internal import Glibc

/// Parts of QEMU's command line, quoted for a shell.
package enum QEMU {
  /// Options for guest memory that the device can map; the size is an example.
  package static let sharedMemory =
    "-object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem"

  /// The value of -device for the device behind a socket, quoted.
  package static func device(socket path: String) -> String {
    let json =
      #"{"driver":"vfio-user-pci","socket":{"type":"unix","path":\#(quotedJSON(absolute(path)))}}"#
    return "'\(json.replacing("'", with: #"'\''"#))'"
  }

  private static func quotedJSON(_ text: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    return (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\(text)\""
  }

  /// Makes a path absolute, because QEMU may run in another directory.
  private static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = workingFolder else { return path }
    return folder == "/" ? "/\(path)" : "\(folder)/\(path)"
  }

  /// The working directory; nil if its name is not UTF-8.
  private static var workingFolder: String? {
    // Sound: the C library allocates the string, and it is freed here.
    guard let folder = unsafe getcwd(nil, 0) else { return nil }
    defer { unsafe free(folder) }
    return unsafe String(validatingCString: folder)
  }
}
