internal import LinuxPrimitives

/// A command and what its reply means, to be carried out by a thread that waits or by a task that
/// is suspended.
///
/// For everything that is not done millions of times a second.
struct Exchange<Result: Sendable>: Sendable {
  let request: AsyncRequest
  let decode: @Sendable (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result

  /// An exchange with a request that is put together already.
  init(
    request: AsyncRequest,
    decode: @escaping @Sendable (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result
  ) {
    self.request = request
    self.decode = decode
  }

  /// An exchange whose reply is decoded by `decode`.
  ///
  /// - Parameters:
  ///   - limit: most bytes that the reply's payload may have.
  ///   - descriptorLimit: most descriptors that the reply may bring.
  init(
    _ command: Command, _ message: some WireEncodable, followedBy data: [UInt8] = [],
    descriptors: CarriedDescriptors? = nil, limit: Int, descriptorLimit: Int = 0,
    decode: @escaping @Sendable (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result
  ) {
    request = AsyncRequest(
      command: command, payload: message.encoded() + data, descriptors: descriptors,
      limit: limit, descriptorLimit: descriptorLimit)
    self.decode = decode
  }

  /// An exchange whose reply is one message.
  init(_ command: Command, _ message: some WireEncodable, limit: Int = ReplyCheck.usualLimit)
  where Result: WireDecodable {
    self.init(command, message, limit: limit) { (payload, _) throws(ClientError) in
      try VFIOUserClient.decode(Result.self, payload, of: command)
    }
  }
}

extension Exchange<Nothing> {
  /// An exchange whose reply is a header alone; what more there is does not matter.
  init(
    _ command: Command, _ message: some WireEncodable, followedBy data: [UInt8] = [],
    descriptors: CarriedDescriptors? = nil
  ) {
    self.init(
      command, message, followedBy: data, descriptors: descriptors,
      limit: ReplyCheck.usualLimit
    ) {
      (_, _) throws(ClientError) in Nothing()
    }
  }
}

/// The payload of a command or a reply that has none.
struct Nothing: WireEncodable, Sendable {
  var wireSize: Int { 0 }
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan) {}
}

extension Connection {
  /// Carries an exchange out on this thread.
  func perform<Result>(
    _ exchange: Exchange<Result>, before deadline: Deadline? = nil
  ) throws(ClientError) -> Result {
    let request = exchange.request
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: request.limit, alignment: 16)
    defer { unsafe buffer.deallocate() }
    var reply = try unsafe call(
      request.command, payload: request.payload.count,
      descriptors: request.descriptors?.take() ?? DescriptorList(), before: deadline,
      into: ReplyBuffers(fixed: buffer, descriptorLimit: request.descriptorLimit)
    ) { $0.copy(request.payload.span) }
    // Sound: the call has returned, and the buffer lives until this function does.
    let payload = unsafe Span<UInt8>(
      _unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<reply.count]))
    return note(try exchange.decode(payload, &reply.descriptors))
  }

  /// Carries an exchange out while the task is suspended.
  func perform<Result>(
    _ exchange: Exchange<Result>, before deadline: Deadline? = nil
  ) async throws(ClientError) -> Result {
    let reply = try await callAsync(exchange.request, before: deadline)
    let payload = reply.payload
    return note(try exchange.decode(payload.span, &reply.descriptors))
  }

  /// Traces what a device says of itself.
  private func note<Result>(_ result: Result) -> Result {
    guard trace.isObserved else { return result }
    switch result {
    case let info as DeviceInfo: trace.record(.device(info))
    case let answer as RegionAnswer: trace.record(.regionInfo(answer.info))
    case let info as InterruptInfo: trace.record(.interruptInfo(info))
    default: break
    }
    return result
  }
}

extension WireEncodable {
  /// The bytes.
  func encoded() -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: wireSize) { buffer, count in
      // Sound: the buffer has room for exactly what `encode` writes; zeros first, for what it skips.
      let bytes = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: wireSize)
      unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
      var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
      encode(into: &span)
      count = wireSize
    }
  }
}

/// Decodes the payload of a reply.
func decode<Reply: WireDecodable>(
  _ type: Reply.Type, _ payload: Span<UInt8>, of command: Command
) throws(ClientError) -> Reply {
  do throws(WireError) {
    return try Reply(decoding: payload)
  } catch {
    throw .malformedReply(command, error)
  }
}
