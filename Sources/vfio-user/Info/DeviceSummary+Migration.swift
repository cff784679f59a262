import VFIOUserClient

extension DeviceSummary {
  /// Whether the device can be saved, and how; the device is only asked, and its state does not change.
  struct Migration: Codable {
    /// Its state can be saved while it is stopped (`VFIO_MIGRATION_STOP_COPY`).
    let stopCopy: Bool
    /// A part of the state can be saved while it runs (`VFIO_MIGRATION_PRE_COPY`).
    let preCopy: Bool
    /// It can stop its own DMA while others still reach it (`VFIO_MIGRATION_P2P`).
    let peerToPeer: Bool
    /// It keeps a log of the pages that it has written.
    let dmaLogging: Bool

    /// How long a device may take for an answer that it need not know.
    private static let patience: Duration = .seconds(2)
    /// What a log of written pages takes.
    private static let log: [(FeatureIndex, FeatureMethods)] = [
      (.dmaLoggingStart, .set), (.dmaLoggingStop, .set), (.dmaLoggingReport, .get),
    ]

    init(of client: Client) throws(ClientError) {
      let wait = Self.patience
      let flags: MigrationFlags =
        try client.supports(.migration, .get, timeout: wait)
        ? try client.migrationFlags(timeout: wait) : []
      stopCopy = flags.contains(.stopCopy)
      preCopy = flags.contains(.preCopy)
      peerToPeer = flags.contains(.peerToPeer)
      var hasLog = true
      for (feature, method) in Self.log where hasLog {
        hasLog = try client.supports(feature, method, timeout: wait)
      }
      dmaLogging = hasLog
    }
  }
}
