internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives

/// What a server has said of an export, in memory that a new version of the program takes over (`vfio-user upgrade`): it
/// has to go on also when the server is lost at that moment.
final class NBDKeptFacts: Sendable {
  private static let size = 4096

  private let descriptor: OwnedDescriptor
  private let kept: KeptDescriptor

  /// - Returns: nil when there is no memory for it; a new version connects then.
  init?(_ name: String, _ facts: NBDFacts) {
    // Sound: the name is lent for the call.
    let number = unsafe clinux_unsealed_memory_file("nbd", UInt64(Self.size))
    guard number >= 0 else { return nil }
    descriptor = OwnedDescriptor(adopting: number)
    kept = KeptDescriptor(name, descriptor)
    write(facts)
  }

  func write(_ facts: NBDFacts) {
    guard var bytes = try? JSONEncoder().encode(facts), bytes.count < Self.size else { return }
    bytes.append(Data(repeating: 0x20, count: Self.size - bytes.count))
    // Sound: the bytes are lent for the call.
    _ = unsafe bytes.withUnsafeBytes {
      unsafe pwrite(descriptor.number, $0.baseAddress, $0.count, 0)
    }
  }

  /// What the program before this one has kept; nil when there was none, or it knew nothing of the export.
  static func take(_ name: String) -> NBDFacts? {
    guard let descriptor = KeptDescriptor.take(name) else { return nil }
    var bytes = Data(repeating: 0, count: size)
    // Sound: as above.
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe pread(descriptor.number, $0.baseAddress, $0.count, 0)
    }
    guard count == size else { return nil }
    return try? JSONDecoder().decode(NBDFacts.self, from: bytes)
  }
}
