internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// A command that is answered when the device has done its part, or when that took too long.
struct PendingReply {
  /// What the device has to do.
  enum Work {
    /// Let go of windows that are taken back.
    case unmap(DMAUnmap, DirtyBitmap?, GuestMemory.Removal)
    /// Come to rest, on the way to a migration state; the request is also the reply.
    case migration(DeviceFeature, MigrationState)
  }

  let header: Header
  let deadline: Deadline
  let work: Work

  /// Whether a command that comes behind this one has to wait for it.
  func keepsWaiting(_ command: Command) -> Bool {
    switch work {
    // A change of the migration state may have to wait too, and the log has to stay until the bitmap is sent.
    case .unmap:
      !header.wantsReply || command == .dmaMap || command == .dmaUnmap || command == .deviceFeature
    case .migration: true
    }
  }
}

extension CommandDispatcher {
  /// Answers a command, if it can be answered.
  ///
  /// - Returns: the command again, when it cannot.
  func finish(_ pending: PendingReply, into outbox: inout Outbox) -> PendingReply? {
    let isAnswered =
      switch pending.work {
      case .unmap(let request, let bitmap, let removal):
        finishUnmap(pending, request, bitmap, removal, into: &outbox)
      case .migration(let request, let goal):
        finishMigration(pending, request, goal, into: &outbox)
      }
    return isAnswered ? nil : pending
  }
}
