internal import LinuxPrimitives

/// A command and the check of its reply, carried out by a waiting thread or a suspended task.
///
/// Region accesses, which have to be fast, do not use it.
struct Exchange<Result: Sendable>: Sendable {
  let request: AsyncRequest
  let decode: @Sendable (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result

  /// Makes an exchange with an encoded request.
  init(
    request: AsyncRequest,
    decode: @escaping @Sendable (Span<UInt8>, inout DescriptorList) throws(ClientError) -> Result
  ) {
    self.request = request
    self.decode = decode
  }

  /// Makes an exchange whose reply is decoded by `decode`.
  ///
  /// - Parameters:
  ///   - limit: maximum size of the reply's payload in bytes.
  ///   - descriptorLimit: maximum number of descriptors of the reply.
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

  /// Makes an exchange whose reply is one message type.
  init(_ command: Command, _ message: some WireEncodable, limit: Int = ReplyCheck.usualLimit)
  where Result: WireDecodable {
    self.init(command, message, limit: limit) { (payload, _) throws(ClientError) in
      try VFIOUserClient.decode(Result.self, payload, of: command)
    }
  }
}

extension Exchange<Nothing> {
  /// Makes an exchange whose reply is a header only; further bytes are ignored.
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

/// The empty payload.
struct Nothing: WireEncodable, Sendable {
  var wireSize: Int { 0 }
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan) {}
}

extension Connection {
  /// Carries out an exchange on the calling thread.
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
    // Sound: the call has returned, and the buffer is valid until this function returns.
    let payload = unsafe Span<UInt8>(
      _unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<reply.count]))
    return note(try exchange.decode(payload, &reply.descriptors))
  }

  /// Carries out an exchange while the task is suspended.
  func perform<Result>(
    _ exchange: Exchange<Result>, before deadline: Deadline? = nil
  ) async throws(ClientError) -> Result {
    let reply = try await callAsync(exchange.request, before: deadline)
    let payload = reply.payload
    return note(try exchange.decode(payload.span, &reply.descriptors))
  }

  /// Traces the replies in which a device describes itself.
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
