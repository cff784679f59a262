/// Which pages of memory a device has written to (specification, "DMA logging").
extension Client {
  /// Has the device note which pages it writes to (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`).
  ///
  /// - Parameters:
  ///   - pageSize: the granularity that is wished for.
  ///   - ranges: what is to be watched; everything if empty.
  /// - Returns: the granularity that the device uses.
  @discardableResult
  public func startDMALogging(
    pageSize: UInt64, _ ranges: [DMALoggingRange] = [], timeout: Duration? = nil
  ) throws(ClientError) -> UInt64 {
    let request = DMALoggingControl(pageSize: pageSize, ranges: ranges)
    let answer = try setFeature(.dmaLoggingStart, request.encoded(), timeout: timeout)
    return try Self.granularity(answer, pageSize)
  }

  /// Ends what `startDMALogging` began.
  public func stopDMALogging(timeout: Duration? = nil) throws(ClientError) {
    try setFeature(.dmaLoggingStop, timeout: timeout)
  }

  /// Which pages of a range were written to since the last time
  /// (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`).
  ///
  /// - Returns: a bit for each page, the first in bit 0 of the first byte, in whole 64-bit words.
  /// - Throws: ``ClientError/badRange(_:)`` for a page size that is not a power of two, and for a range
  ///   whose bitmap does not fit into a message.
  public func dirtyPages(
    _ range: DMALoggingRange, pageSize: UInt64, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try perform(Exchanges.dirtyPages(range, pageSize, maxAccess), timeout: timeout)
  }

  fileprivate static func granularity(
    _ answer: [UInt8], _ asked: UInt64
  ) throws(ClientError) -> UInt64 {
    guard !answer.isEmpty else { return asked }
    let used = try decode(DMALoggingControl.self, answer.span, of: .deviceFeature).pageSize
    guard used.nonzeroBitCount == 1 else {
      throw .implausibleReply(.deviceFeature, "it logs pages of \(used) bytes")
    }
    return used
  }
}

// MARK: For tasks

extension Client {
  /// Has the device note which pages it writes to.
  @discardableResult
  public func startDMALogging(
    pageSize: UInt64, _ ranges: [DMALoggingRange] = [], timeout: Duration? = nil
  ) async throws(ClientError) -> UInt64 {
    let request = DMALoggingControl(pageSize: pageSize, ranges: ranges)
    let answer = try await setFeature(.dmaLoggingStart, request.encoded(), timeout: timeout)
    return try Self.granularity(answer, pageSize)
  }

  /// Ends what `startDMALogging` began.
  public func stopDMALogging(timeout: Duration? = nil) async throws(ClientError) {
    try await setFeature(.dmaLoggingStop, timeout: timeout)
  }

  /// Which pages of a range were written to since the last time.
  public func dirtyPages(
    _ range: DMALoggingRange, pageSize: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await perform(Exchanges.dirtyPages(range, pageSize, maxAccess), timeout: timeout)
  }
}

extension Exchanges {
  static func dirtyPages(
    _ range: DMALoggingRange, _ pageSize: UInt64, _ largest: Int
  ) throws(ClientError) -> Exchange<[UInt8]> {
    let report = DMALoggingReport(
      address: range.address, length: range.length, pageSize: pageSize)
    let size: Int
    do throws(WireError) {
      size = try report.bitmapSize(limit: largest)
    } catch {
      throw .badRange("\(error)")
    }
    let base = feature(
      .get, .dmaLoggingReport, report.encoded(), room: DMALoggingReport.wireSize + size)
    return Exchange(request: base.request) { (payload, descriptors) throws(ClientError) in
      let data = try base.decode(payload, &descriptors)
      let answered = try decode(DMALoggingReport.self, data.span, of: .deviceFeature)
      guard answered == report else {
        throw .implausibleReply(
          .deviceFeature, "it reports \(answered.length) bytes at \(answered.address)")
      }
      do throws(WireError) {
        return try answered.bitmap(in: data.span).copied()
      } catch {
        throw .malformedReply(.deviceFeature, error)
      }
    }
  }
}
