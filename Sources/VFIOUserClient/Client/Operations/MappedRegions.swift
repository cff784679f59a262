internal import LinuxPrimitives

/// The mapped regions of a client, each for as long as somebody holds it.
///
/// So a region is asked for, its descriptor taken and its areas mapped once, however many users it has.
final class MappedRegions: Sendable {
  private struct Held {
    weak var region: MappedRegion?
  }

  private let held = Monitor<[RegionIndex: Held]>([:])

  /// The one that somebody holds, unless it is of no use any more: of another connection, or a lost one.
  func region(_ index: RegionIndex, on connection: Connection) -> MappedRegion? {
    guard let region = held.withLock({ $0[index]?.region }), region.isUsable(on: connection) else {
      return nil
    }
    return region
  }

  /// Shares one that was just mapped, unless another thread was faster.
  ///
  /// - Returns: the one to be used.
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
