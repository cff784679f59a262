internal import SystemPackage

extension Client {
  /// Whether the device knows a feature, and these methods of it (`VFIO_USER_DEVICE_FEATURE`, probing).
  public func supports(
    _ feature: FeatureIndex, _ methods: FeatureMethods = [], timeout: Duration? = nil
  ) throws(ClientError) -> Bool {
    let probe = Exchanges.feature(methods.union(.probe), feature)
    do throws(ClientError) {
      _ = try perform(probe, timeout: timeout)
      return true
    } catch {
      return try Self.isUnsupported(error)
    }
  }

  /// Gets a feature's data.
  ///
  /// - Parameters:
  ///   - data: what the question carries; most features take none.
  ///   - room: most bytes of data that the answer may have, as far as a message that the client takes holds
  ///     them.
  public func feature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], room: Int = 4096, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try perform(
      Exchanges.feature(.get, feature, data, room: min(room, maxRoom)), timeout: timeout)
  }

  /// Sets a feature.
  ///
  /// - Returns: the data of the answer; most devices send none.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try perform(Exchanges.feature(.set, feature, data, room: data.count), timeout: timeout)
  }

  /// Most bytes of data that an answer can have.
  fileprivate var maxRoom: Int {
    factory.messageLimit - Header.wireSize - DeviceFeature.wireSize
  }

  /// False for the errors with which devices say that they do not know a feature; ENOTTY is what
  /// the kernel says.
  fileprivate static func isUnsupported(_ error: ClientError) throws(ClientError) -> Bool {
    switch error.reason {
    case .refused(_, .notSupported), .refused(_, .noFunction), .refused(_, .invalidArgument),
      .refused(_, .inappropriateIOCTLForDevice):
      return false
    default: throw error
    }
  }
}

// MARK: For tasks

extension Client {
  /// Whether the device knows a feature, and these methods of it.
  public func supports(
    _ feature: FeatureIndex, _ methods: FeatureMethods = [], timeout: Duration? = nil
  ) async throws(ClientError) -> Bool {
    let probe = Exchanges.feature(methods.union(.probe), feature)
    do throws(ClientError) {
      _ = try await perform(probe, timeout: timeout)
      return true
    } catch {
      return try Self.isUnsupported(error)
    }
  }

  /// Gets a feature's data, without holding a thread.
  public func feature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], room: Int = 4096, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await perform(
      Exchanges.feature(.get, feature, data, room: min(room, maxRoom)), timeout: timeout)
  }

  /// Sets a feature, without holding a thread.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await perform(Exchanges.feature(.set, feature, data, room: data.count), timeout: timeout)
  }
}

extension Exchanges {
  /// Asks something of a feature; the result is the data of the answer.
  static func feature(
    _ methods: FeatureMethods, _ feature: FeatureIndex, _ data: [UInt8] = [], room: Int = 0
  ) -> Exchange<[UInt8]> {
    let request = DeviceFeature(methods, feature, dataSize: max(room, data.count))
    let limit = DeviceFeature.wireSize + max(room, data.count)
    return Exchange(.deviceFeature, request, followedBy: data, limit: limit) {
      (payload, _) throws(ClientError) in
      let answered = try decode(DeviceFeature.self, payload, of: .deviceFeature)
      guard answered.feature == feature, answered.methods == methods else {
        throw .implausibleReply(
          .deviceFeature, "it is about \(answered.methods) of \(answered.feature)")
      }
      return payload.extracting(DeviceFeature.wireSize...).copied()
    }
  }

  /// As `feature`, for data that is one message.
  static func feature<Value: WireMessage & FixedSizeMessage>(
    get feature: FeatureIndex, _ question: some WireEncodable = Nothing(), as type: Value.Type
  ) -> Exchange<Value> {
    let data = question.encoded()
    let base = Self.feature(.get, feature, data, room: max(Value.wireSize, data.count))
    return Exchange(request: base.request) { (payload, descriptors) throws(ClientError) in
      let bytes = try base.decode(payload, &descriptors)
      return try VFIOUserClient.decode(Value.self, bytes.span, of: .deviceFeature)
    }
  }
}
