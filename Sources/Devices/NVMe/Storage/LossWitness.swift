internal import CLinux
internal import SystemPackage

/// Finds out whether a write that failed may have reported more than itself.
///
/// A durable write can fail for two reasons: the data itself was not taken, or Linux could not bring something to the
/// disk that was written before, which it reports once per open file. The number that it fails with does not say
/// which. So there is a second open file of the same, to which Linux has to report as well.
final class LossWitness: Sendable {
  private let descriptor: OwnedDescriptor

  /// - Returns: nil when there is no second open file to be had, as without /proc.
  init?(of number: Int32) {
    let path = FilePath("/proc/self/fd/\(number)")
    let second = unsafe path.withPlatformString { unsafe clinux_storage_open($0, 0) }
    guard second >= 0 else { return nil }
    descriptor = OwnedDescriptor(adopting: second)
  }

  /// Whether data was lost since this was asked before; may wait for the disk.
  func hasSeenLoss() -> Bool { clinux_storage_sync(descriptor.number) != 0 }
}
