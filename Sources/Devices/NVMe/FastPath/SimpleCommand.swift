/// A Read or Write of the usual kind: not fused, without FUA.
@safe
struct SimpleCommand {
  let isRead: Bool
  /// Whether the pointers are an SGL descriptor; else they are PRPs.
  let hasDescriptor: Bool
  let id: UInt16
  let namespace: UInt32
  let pointer1: UInt64
  let pointer2: UInt64
  let block: UInt64
  let blocks: UInt64

  /// Reads an entry of a submission queue (NVMe 1.4, figures 105, 349 and 389).
  ///
  /// - Parameter entry: 64 bytes of ours, aligned to eight.
  /// - Returns: nil for every other command.
  @unsafe
  init?(_ entry: UnsafeRawPointer) {
    // Opcode, fused operation, and how the data is described.
    let first = unsafe entry.load(as: UInt32.self)
    let opcode = first & 0xFF
    guard opcode == 1 || opcode == 2, first & 0xBF00 == 0 else { return nil }
    let last = unsafe entry.load(fromByteOffset: 48, as: UInt32.self)
    guard last & 1 << 30 == 0 else { return nil }
    isRead = opcode == 2
    hasDescriptor = first & 0x4000 != 0
    id = UInt16(truncatingIfNeeded: first >> 16)
    namespace = unsafe entry.load(fromByteOffset: 4, as: UInt32.self)
    pointer1 = unsafe entry.load(fromByteOffset: 24, as: UInt64.self)
    pointer2 = unsafe entry.load(fromByteOffset: 32, as: UInt64.self)
    block = unsafe entry.load(fromByteOffset: 40, as: UInt64.self)
    blocks = UInt64(last & 0xFFFF) + 1
  }
}
