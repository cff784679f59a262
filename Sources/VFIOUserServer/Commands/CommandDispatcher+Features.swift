internal import VFIOUserTransport
package import SystemPackage

/// The handler of one feature of DEVICE_FEATURE.
///
/// Called on the session's thread.
package protocol DeviceFeatureHandler: Sendable {
  /// Whether GET, SET or both are supported.
  var methods: FeatureMethods { get }

  /// Maximum number of bytes of data in the reply to a GET with this data.
  func replySize(for data: Span<UInt8>) throws(Errno) -> Int

  /// Answers a GET: writes the data of the reply, of the size that ``replySize(for:)`` returned, into a
  /// zeroed buffer.
  func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno)

  /// Carries out a SET.
  ///
  /// - Returns: the data of the answer: those of the request, unless something else was chosen.
  func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8]
}

extension CommandDispatcher {
  /// `VFIO_USER_DEVICE_FEATURE`.
  ///
  /// - Returns: the command, when it cannot be answered yet.
  func useFeature(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) -> PendingReply? {
    let request = try decode(DeviceFeature.self, payload)
    guard let handler = features[request.feature],
      handler.methods.isSuperset(of: request.methods.subtracting(.probe))
    else { throw .notSupported }
    let data = payload.extracting(DeviceFeature.wireSize...)
    // The reply to PROBE and to SET is the request again, argsz included.
    if request.methods.contains(.probe) {
      reply(to: header, request, followedBy: data.copied(), into: &outbox)
    } else if request.methods == .get {
      try getFeature(request, handler, data, header, into: &outbox)
    } else if request.feature == .migrationDeviceState, migration != nil {
      return try changeMigrationState(request, header, data, into: &outbox)
    } else {
      reply(to: header, request, followedBy: try handler.set(data), into: &outbox)
    }
    return nil
  }

  private func getFeature(
    _ request: DeviceFeature, _ handler: any DeviceFeatureHandler, _ data: Span<UInt8>,
    _ header: Header, into outbox: inout Outbox
  ) throws(Errno) {
    let size = try handler.replySize(for: data)
    let whole = DeviceFeature(.get, request.feature, dataSize: size)
    // The client's argsz is the maximum size of the reply.
    guard whole.argumentSize <= request.argumentSize else { throw .invalidArgument }
    guard size <= options.messageLimit - Header.wireSize - DeviceFeature.wireSize else {
      throw .argListTooLong
    }
    try outbox.append(
      header.reply(payload: 0), payload: DeviceFeature.wireSize + size,
      discarding: !header.wantsReply
    ) { (bytes) throws(Errno) in
      whole.encode(into: &bytes)
      var reply = bytes._mutatingExtracting(DeviceFeature.wireSize...)
      try handler.get(data, into: &reply)
    }
  }
}
