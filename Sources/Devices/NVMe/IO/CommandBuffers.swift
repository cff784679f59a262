internal import NVMeProtocol
internal import SystemPackage

/// Memory of ours for commands whose data does not go straight to the guest.
///
/// Each has as much as it needs, and never much.
struct CommandBuffers {
  /// Most bytes of one; longer commands are carried out a piece at a time.
  ///
  /// Even if all commands in flight have one, that is 64 MiB.
  static let most: UInt64 = 64 << 10
  /// How many are kept for the next commands.
  private static let maxKept = 16

  private var kept: [PageBuffer] = []
  /// The guest's side of a comparison, and lists, for as long as one function runs.
  private var other: PageBuffer?

  /// A buffer for so many bytes, or for a piece of them.
  mutating func take(_ count: UInt64) throws(CommandError) -> PageBuffer {
    let size = Int(min(count, Self.most))
    if let place = kept.lastIndex(where: { $0.size >= size }) { return kept.remove(at: place) }
    return try Self.make(size)
  }

  /// A command does not need its buffer any more.
  mutating func giveBack(_ buffer: PageBuffer) {
    if kept.count < Self.maxKept { kept.append(buffer) }
  }

  /// The buffer of whoever asks, until somebody else does.
  mutating func shared() throws(CommandError) -> PageBuffer {
    if let other { return other }
    let made = try Self.make(Int(Self.most))
    other = made
    return made
  }

  private static func make(_ size: Int) throws(CommandError) -> PageBuffer {
    do throws(Errno) {
      return try PageBuffer(size: size)
    } catch {
      throw CommandError(.internalError)
    }
  }
}
