internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// Limits the address space and the number of mappings that clients' memory takes; the kernel allows a
/// process 65,530 mappings (`vm.max_map_count`).
///
/// A client that maps a sparse file of terabytes, or tens of thousands of windows, would leave nothing for
/// the windows of other devices' clients, nor for stacks and buffers. So a part is kept for the process. One
/// half of the rest is divided equally among the devices; the other half is for any device, first come, first
/// served.
final class MappingBudget: Sendable {
  /// An amount of address space and mappings.
  struct Amount: Equatable, Sendable {
    var mappings: Int
    var bytes: UInt64
  }

  /// The reservations of the clients of one device.
  final class Share: Sendable {
    fileprivate let used: Monitor<Amount>
    private let budget: MappingBudget

    fileprivate init(_ budget: MappingBudget, _ used: Monitor<Amount>) {
      self.budget = budget
      self.used = used
    }

    deinit { budget.forget(used) }

    /// Bytes of address space that are reserved.
    var bytes: UInt64 { used.withLock { $0.bytes } }

    /// Reserves the mapping of a window.
    ///
    /// - Returns: the reservation, which ends with its last reference.
    /// - Throws: `ENOMEM` if there is too little address space, `ENOSPC` if there are too few mappings.
    func claim(bytes: UInt64) throws(Errno) -> Reservation {
      try budget.take(bytes, for: used)
      return Reservation(self, bytes)
    }
  }

  /// The reservation of one window.
  final class Reservation: Sendable {
    private let share: Share
    private let bytes: UInt64

    fileprivate init(_ share: Share, _ bytes: UInt64) {
      self.share = share
      self.bytes = bytes
    }

    deinit {
      share.used.withLock { used in
        used.mappings -= 1
        used.bytes -= bytes
      }
    }
  }

  /// The budget of this process.
  static let process = MappingBudget(.ofProcess)

  private let total: Amount
  /// The amounts of the shares; not the shares themselves, because the last reference to one could end under
  /// this lock.
  private let shares = Monitor<[Monitor<Amount>]>([])

  init(_ total: Amount) { self.total = total }

  /// Makes a share for a new device.
  func newShare() -> Share {
    let used = Monitor(Amount(mappings: 0, bytes: 0))
    shares.withLock { $0.append(used) }
    return Share(self, used)
  }

  private func forget(_ share: Monitor<Amount>) {
    shares.withLock { $0.removeAll { $0 === share } }
  }

  private func take(_ bytes: UInt64, for share: Monitor<Amount>) throws(Errno) {
    try shares.withLock { shares throws(Errno) in
      let count = UInt64(shares.count)
      let sure = Amount(
        mappings: total.mappings / (2 * shares.count), bytes: total.bytes / (2 * count))
      var free = total
      for other in shares {
        let used = other.withLock { $0 }
        let kept = other === share ? used : used.atLeast(sure)
        free.mappings -= min(kept.mappings, free.mappings)
        free.bytes -= min(kept.bytes, free.bytes)
      }
      guard free.mappings > 0 else { throw .noSpace }
      guard bytes <= free.bytes else { throw .noMemory }
      share.withLock { used in
        used.mappings += 1
        used.bytes += bytes
      }
    }
  }
}

extension MappingBudget.Amount {
  fileprivate func atLeast(_ other: Self) -> Self {
    Self(mappings: max(mappings, other.mappings), bytes: max(bytes, other.bytes))
  }

  /// The kernel's limits for this process, less what the process itself needs.
  static var ofProcess: Self {
    let limit = clinux_mapping_limit()
    let mappings = Int(clamping: max(limit - ownMappings, limit / 2))
    return Self(mappings: mappings, bytes: addressSpace)
  }

  /// Mappings for stacks, the heap and libraries.
  private static let ownMappings: Int64 = 4096

  /// Half of the 128 TiB of a processor with four levels of page tables; if the process has a limit (`ulimit
  /// -v`), three quarters of what is left of it.
  private static var addressSpace: UInt64 {
    let usual: UInt64 = 64 << 40
    let limit = clinux_address_space_limit()
    guard limit >= 0, limit < Int64.max else { return usual }
    let left = max(0, limit - max(0, clinux_address_space_used()))
    return min(usual, UInt64(left) / 4 * 3)
  }
}
