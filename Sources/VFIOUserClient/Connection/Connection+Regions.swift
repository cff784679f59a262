internal import LinuxPrimitives

/// Region accesses, without any allocation.
extension Connection {
  /// Reads into the caller's buffer.
  func read(
    _ access: RegionAccess, into target: UnsafeMutableRawBufferPointer,
    before deadline: Deadline? = nil
  ) throws(ClientError) {
    trace.record(.region(.regionRead, access))
    try unsafe withAnswer(to: access) { (answer) throws(ClientError) in
      let buffers = unsafe ReplyBuffers(fixed: answer, data: target)
      let reply = try call(
        .regionRead, payload: RegionAccess.wireSize, before: deadline, into: buffers
      ) { access.encode(into: &$0) }
      // Sound: valid until this closure of `withAnswer` returns.
      let fixed = unsafe Span<UInt8>(_unsafeBytes: answer.first(reply.count))
      try ReplyCheck.requireData(of: access, fixed, size: reply.count)
    }
  }

  /// Writes bytes and waits for the reply.
  func write(
    _ access: RegionAccess, _ data: Span<UInt8>, before deadline: Deadline? = nil
  ) throws(ClientError) {
    try write(access, data.count, deadline) { $0.copy(data) }
  }

  /// Writes a number and waits for the reply.
  func write<Number: FixedWidthInteger & BitwiseCopyable>(
    _ access: RegionAccess, _ number: Number, before deadline: Deadline? = nil
  ) throws(ClientError) {
    try write(access, MemoryLayout<Number>.size, deadline) { $0.storeLittleEndian(number, at: 0) }
  }

  private func write(
    _ access: RegionAccess, _ count: Int, _ deadline: Deadline?,
    _ fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) {
    trace.record(.region(.regionWrite, access))
    try unsafe withAnswer(to: access) { (answer) throws(ClientError) in
      let reply = try call(
        .regionWrite, payload: RegionAccess.wireSize + count, before: deadline,
        into: unsafe ReplyBuffers(fixed: answer)
      ) { bytes in
        access.encode(into: &bytes)
        var data = bytes._mutatingExtracting(RegionAccess.wireSize...)
        fill(&data)
      }
      // Sound: valid until this closure of `withAnswer` returns.
      let payload = unsafe Span<UInt8>(_unsafeBytes: answer.first(reply.count))
      try ReplyCheck.requireNoData(of: access, payload)
    }
  }

  /// Provides a buffer on the stack for the fixed part of a reply; adds the access to errors.
  private func withAnswer(
    to access: RegionAccess, _ body: (UnsafeMutableRawBufferPointer) throws(ClientError) -> Void
  ) throws(ClientError) {
    do throws(ClientError) {
      try unsafe withUnsafeTemporaryAllocation(
        byteCount: RegionAccess.wireSize, alignment: 8
      ) { (answer) throws(ClientError) in
        unsafe answer.initializeMemory(as: UInt8.self, repeating: 0)
        try unsafe body(answer)
      }
    } catch {
      throw error.at(access)
    }
  }

}

extension UnsafeMutableRawBufferPointer {
  /// The first bytes, at most `count`.
  fileprivate func first(_ count: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: self[..<Swift.min(count, self.count)])
  }
}
