/// DMA logging: the pages of memory that a device has written to (specification, "DMA logging").
extension Client {
  /// Starts DMA logging (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`).
  ///
  /// - Parameters:
  ///   - pageSize: the requested granularity in bytes.
  ///   - ranges: the guest addresses to log; all if empty.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  /// - Returns: the granularity that the device uses, in bytes.
  @discardableResult
  public func startDMALogging(
    pageSize: UInt64, _ ranges: [DMALoggingRange] = [], timeout: Duration? = nil
  ) throws(ClientError) -> UInt64 {
    let request = DMALoggingControl(pageSize: pageSize, ranges: ranges)
    let answer = try setFeature(.dmaLoggingStart, request.encoded(), timeout: timeout)
    return try Self.granularity(answer, pageSize)
  }

  /// Stops DMA logging.
  public func stopDMALogging(timeout: Duration? = nil) throws(ClientError) {
    try setFeature(.dmaLoggingStop, timeout: timeout)
  }

  /// The pages of a range that were written to since the last report
  /// (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`).
  ///
  /// - Returns: a bitmap of whole 64-bit words; the first page is bit 0 of the first byte.
  /// - Throws: ``ClientError/badRange(_:)`` if the page size is not a power of two, or the bitmap does not
  ///   fit into a message.
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
  /// Starts DMA logging; suspends the task.
  @discardableResult
  public func startDMALogging(
    pageSize: UInt64, _ ranges: [DMALoggingRange] = [], timeout: Duration? = nil
  ) async throws(ClientError) -> UInt64 {
    let request = DMALoggingControl(pageSize: pageSize, ranges: ranges)
    let answer = try await setFeature(.dmaLoggingStart, request.encoded(), timeout: timeout)
    return try Self.granularity(answer, pageSize)
  }

  /// Stops DMA logging.
  public func stopDMALogging(timeout: Duration? = nil) async throws(ClientError) {
    try await setFeature(.dmaLoggingStop, timeout: timeout)
  }

  /// The pages of a range that were written to since the last report; suspends the task.
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
