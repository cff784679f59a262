internal import LinuxPrimitives

/// The mapped regions of a client, each as long as it has references.
///
/// So each region is queried and mapped once, for any number of users.
final class MappedRegions: Sendable {
  private struct Held {
    weak var region: MappedRegion?
  }

  private let held = Monitor<[RegionIndex: Held]>([:])

  /// The existing mapping, unless its connection was lost or replaced.
  func region(_ index: RegionIndex, on connection: Connection) -> MappedRegion? {
    guard let region = held.withLock({ $0[index]?.region }), region.isUsable(on: connection) else {
      return nil
    }
    return region
  }

  /// Adds a new mapping, unless another thread was faster.
  ///
  /// - Returns: the mapping to use.
  func share(_ region: MappedRegion) -> MappedRegion {
    held.withLock { held in
      if let other = held[region.region.index]?.region, other.isUsable(like: region) {
        return other
      }
      held[region.region.index] = Held(region: region)
      return region
    }
  }
}
