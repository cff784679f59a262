internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// What DEVICE_FEATURE can do with a device that can be saved.
enum MigrationFeatures {
  /// All of them but the change of the state, which may be answered later.
  static func handlers(
    _ migration: Migration, _ logging: DMALogging
  ) -> [FeatureIndex: any DeviceFeatureHandler] {
    [
      .migration: Flags(migration: migration),
      .migrationDeviceState: State(migration: migration),
      .dmaLoggingStart: Start(logging: logging),
      .dmaLoggingStop: Stop(logging: logging),
      .dmaLoggingReport: Report(logging: logging),
    ]
  }

  private struct Flags: DeviceFeatureHandler {
    let migration: Migration
    var methods: FeatureMethods { .get }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int { MigrationFlags.wireSize }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      migration.flags.encode(into: &reply)
    }

    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] { throw .notSupported }
  }

  private struct State: DeviceFeatureHandler {
    let migration: Migration
    var methods: FeatureMethods { [.get, .set] }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int { MigrationState.wireSize }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      MigrationState(migration.state).encode(into: &reply)
    }

    /// Never called: `CommandDispatcher.changeMigrationState` is.
    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] { throw .notSupported }
  }

  private struct Start: DeviceFeatureHandler {
    let logging: DMALogging
    var methods: FeatureMethods { .set }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int { throw .notSupported }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      throw .notSupported
    }

    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] {
      guard var request = try? DMALoggingControl(decoding: data), request.wireSize == data.count
      else {
        throw .invalidArgument
      }
      request.pageSize = try logging.start(request)
      return request.encoded()
    }
  }

  private struct Stop: DeviceFeatureHandler {
    let logging: DMALogging
    var methods: FeatureMethods { .set }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int { throw .notSupported }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      throw .notSupported
    }

    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] {
      logging.stop()
      return data.copied()
    }
  }

  private struct Report: DeviceFeatureHandler {
    let logging: DMALogging
    var methods: FeatureMethods { .get }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int {
      try DMALoggingReport.wireSize + request(data).size
    }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      let (report, _) = try request(data)
      report.encode(into: &reply)
      var bitmap = reply._mutatingExtracting(DMALoggingReport.wireSize...)
      try logging.report(report.address, report.length, size: report.pageSize, into: &bitmap)
    }

    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] { throw .notSupported }

    private func request(_ data: Span<UInt8>) throws(Errno) -> (report: DMALoggingReport, size: Int)
    {
      do {
        let report = try DMALoggingReport(decoding: data)
        return (report, try report.bitmapSize(limit: DMALogging.maxBitmap))
      } catch {
        throw .invalidArgument
      }
    }
  }
}

/// The log of the present client, if it has started one.
///
/// Touched by the session's thread only; sessions follow one another.
final class DMALogging: @unchecked Sendable {
  private let memory: GuestMemory
  private var log: DirtyLog?

  /// Most bytes of a bitmap; what a message may have is less as a rule.
  static let maxBitmap = 64 << 20

  init(_ memory: GuestMemory) { self.memory = memory }

  var isOn: Bool { log != nil }

  /// Starts a log.
  ///
  /// - Returns: its page size.
  /// - Throws: `EINVAL` when one is on, or what is wrong with the request.
  func start(_ request: DMALoggingControl) throws(Errno) -> UInt64 {
    guard log == nil else { throw .invalidArgument }
    let log = try DirtyLog(request)
    self.log = log
    memory.observeWrites { address, count in log.note(address, count) }
    return log.pageSize
  }

  /// Ends the log; harmless when there is none.
  func stop() {
    guard log != nil else { return }
    memory.observeWrites(nil)
    log = nil
  }

  /// Puts the bits of a range into a bitmap that is zero.
  ///
  /// - Throws: `EINVAL` when no log is on, or the range wraps.
  func report(
    _ address: UInt64, _ length: UInt64, size: UInt64, into bitmap: inout MutableRawSpan
  ) throws(Errno) {
    guard let log, length == 0 || !address.addingReportingOverflow(length - 1).overflow else {
      throw .invalidArgument
    }
    log.report(address, length, size: size, into: &bitmap)
  }
}
