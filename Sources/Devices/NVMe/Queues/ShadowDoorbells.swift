/// Where the host keeps its doorbells in its own memory, and where the controller says up to which
/// value it need not ring (Doorbell Buffer Config, NVMe 1.4, section 5.7 and annex B.5).
struct ShadowDoorbells {
  /// The shadow doorbells.
  let values: UInt64
  /// EventIdx: the host rings when it passes this value.
  let eventIndexes: UInt64

  func value(_ index: Int) -> UInt64 { values &+ UInt64(4 * index) }
  func eventIndex(_ index: Int) -> UInt64 { eventIndexes &+ UInt64(4 * index) }
}
