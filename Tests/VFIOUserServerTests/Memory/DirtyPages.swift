import SystemPackage
import VFIOUserProtocol
import VFIOUserServer

/// Dirty pages as a device's process could keep them, with every page clean: what is asked for is decoded
/// and measured as the real thing would.
enum DirtyPages {
  static let features: [FeatureIndex: any DeviceFeatureHandler] = [
    .dmaLoggingStart: Start(), .dmaLoggingReport: Report(),
  ]

  /// Most bytes of a bitmap.
  static let limit = 1 << 16

  private struct Start: DeviceFeatureHandler {
    let methods: FeatureMethods = .set
    func replySize(for data: Span<UInt8>) throws(Errno) -> Int { 0 }
    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {}
    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] {
      guard let control = try? DMALoggingControl(decoding: data),
        control.pageSize.nonzeroBitCount == 1
      else { throw .invalidArgument }
      return data.copied()
    }
  }

  private struct Report: DeviceFeatureHandler {
    let methods: FeatureMethods = .get

    private func report(_ data: Span<UInt8>) throws(Errno) -> DMALoggingReport {
      guard let report = try? DMALoggingReport(decoding: data) else { throw .invalidArgument }
      return report
    }

    func replySize(for data: Span<UInt8>) throws(Errno) -> Int {
      guard let size = try? report(data).bitmapSize(limit: limit) else {
        _ = try report(data)
        throw .argListTooLong
      }
      return DMALoggingReport.wireSize + size
    }

    func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
      try report(data).encode(into: &reply)
    }

    func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] { [] }
  }
}
