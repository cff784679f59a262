internal import SystemPackage

extension Client {
  /// Whether the device supports a feature and these methods of it (`VFIO_USER_DEVICE_FEATURE`, PROBE).
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
  ///   - feature: the feature.
  ///   - data: the data of the request; most features have none.
  ///   - room: maximum number of bytes of data in the reply; limited by the client's maximum message size.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  public func feature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], room: Int = 4096, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try perform(
      Exchanges.feature(.get, feature, data, room: min(room, maxRoom)), timeout: timeout)
  }

  /// Sets a feature.
  ///
  /// - Returns: the data of the reply; most devices send none.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try perform(Exchanges.feature(.set, feature, data, room: data.count), timeout: timeout)
  }

  /// Maximum number of bytes of data in a reply.
  fileprivate var maxRoom: Int {
    factory.messageLimit - Header.wireSize - DeviceFeature.wireSize
  }

  /// False for the errors of devices that do not support a feature; the kernel's is ENOTTY.
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
  /// Whether the device supports a feature and these methods of it; suspends the task.
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

  /// Gets a feature's data; suspends the task.
  public func feature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], room: Int = 4096, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await perform(
      Exchanges.feature(.get, feature, data, room: min(room, maxRoom)), timeout: timeout)
  }

  /// Sets a feature; suspends the task.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIndex, _ data: [UInt8] = [], timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    try await perform(Exchanges.feature(.set, feature, data, room: data.count), timeout: timeout)
  }
}

extension Exchanges {
  /// Sends a request for a feature; the result is the data of the reply.
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

  /// Like `feature`, for data that is one message type.
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
