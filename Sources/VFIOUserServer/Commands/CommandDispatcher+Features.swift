internal import VFIOUserTransport
package import SystemPackage

/// What DEVICE_FEATURE can do with one feature.
///
/// Runs on the session's thread.
package protocol DeviceFeatureHandler: Sendable {
  /// Whether it can be got, set, or both.
  var methods: FeatureMethods { get }

  /// Bytes of data in the answer to a GET with this data, at most.
  func replySize(for data: Span<UInt8>) throws(Errno) -> Int

  /// Answers a GET: writes as many bytes as ``replySize(for:)`` said, which are zero so far.
  func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno)

  /// Carries out a SET.
  func set(_ data: Span<UInt8>) throws(Errno)
}

extension CommandDispatcher {
  /// `VFIO_USER_DEVICE_FEATURE`.
  func useFeature(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(DeviceFeature.self, payload)
    guard let handler = features[request.feature],
      handler.methods.isSuperset(of: request.methods.subtracting(.probe))
    else { throw .notSupported }
    if request.methods.contains(.probe) {
      return reply(to: header, DeviceFeature(request.methods, request.feature), into: &outbox)
    }
    let data = payload.extracting(DeviceFeature.wireSize...)
    if request.methods == .set {
      try handler.set(data)
      return reply(to: header, DeviceFeature(.set, request.feature), into: &outbox)
    }
    try getFeature(request, handler, data, header, into: &outbox)
  }

  private func getFeature(
    _ request: DeviceFeature, _ handler: any DeviceFeatureHandler, _ data: Span<UInt8>,
    _ header: Header, into outbox: inout Outbox
  ) throws(Errno) {
    let size = try handler.replySize(for: data)
    let whole = DeviceFeature(.get, request.feature, dataSize: size)
    // The client says how much it takes; more would not be understood.
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
