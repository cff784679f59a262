internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Region accesses: what a VMM does all day, so without any allocation.
extension Connection {
  /// Reads into memory that is lent until this returns.
  func read(
    _ access: RegionAccess, into target: UnsafeMutableRawBufferPointer, timeout: Duration? = nil
  ) throws(ClientError) {
    trace.record(.region(.regionRead, access))
    try unsafe withAnswer { (answer) throws(ClientError) in
      let buffers = unsafe ReplyBuffers(fixed: answer, data: target)
      let reply = try call(
        .regionRead, payload: RegionAccess.wireSize, timeout: timeout, into: buffers
      ) { access.encode(into: &$0) }
      guard reply.count == RegionAccess.wireSize + target.count,
        unsafe RegionAccess(answer) == access
      else {
        throw .implausibleReply(
          .regionRead, "\(reply.count) bytes do not answer \(access)")
      }
    }
  }

  /// Writes bytes and waits for the answer.
  func write(
    _ access: RegionAccess, _ data: Span<UInt8>, timeout: Duration? = nil
  ) throws(ClientError) {
    try write(access, data.count, timeout) { bytes in
      unsafe data.withUnsafeBytes { source in
        unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
      }
    }
  }

  /// Writes a number and waits for the answer.
  func write<Number: FixedWidthInteger & BitwiseCopyable>(
    _ access: RegionAccess, _ number: Number, timeout: Duration? = nil
  ) throws(ClientError) {
    try write(access, MemoryLayout<Number>.size, timeout) { $0.storeLittleEndian(number, at: 0) }
  }

  private func write(
    _ access: RegionAccess, _ count: Int, _ timeout: Duration?,
    _ fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) {
    trace.record(.region(.regionWrite, access))
    try unsafe withAnswer { (answer) throws(ClientError) in
      let reply = try call(
        .regionWrite, payload: RegionAccess.wireSize + count, timeout: timeout,
        into: unsafe ReplyBuffers(fixed: answer)
      ) { bytes in
        access.encode(into: &bytes)
        var data = bytes._mutatingExtracting(RegionAccess.wireSize...)
        fill(&data)
      }
      guard reply.count == RegionAccess.wireSize, unsafe RegionAccess(answer) == access else {
        throw .implausibleReply(.regionWrite, "\(reply.count) bytes do not answer \(access)")
      }
    }
  }

  /// Lends room on the stack for the fixed part of an answer.
  private func withAnswer(
    _ body: (UnsafeMutableRawBufferPointer) throws(ClientError) -> Void
  ) throws(ClientError) {
    try unsafe withUnsafeTemporaryAllocation(
      byteCount: RegionAccess.wireSize, alignment: 8
    ) { (answer) throws(ClientError) in
      unsafe answer.initializeMemory(as: UInt8.self, repeating: 0)
      try unsafe body(answer)
    }
  }
}

extension RegionAccess {
  /// What an answer is about, nil when it is cut short.
  fileprivate init?(_ answer: UnsafeMutableRawBufferPointer) {
    let bytes = unsafe Span<UInt8>(_unsafeBytes: UnsafeRawBufferPointer(answer))
    guard let access = try? RegionAccess(decoding: bytes) else { return nil }
    self = access
  }
}
