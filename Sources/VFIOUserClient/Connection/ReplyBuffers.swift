internal import LinuxPrimitives

/// A reply for a waiting thread: size of the payload, and descriptors.
struct Reply: ~Copyable {
  var count = 0
  var descriptors = DescriptorList()
}

/// Where the payload of a reply goes: its first bytes to `fixed`, the rest to `data`.
///
/// A longer payload is an error of the server; it is discarded.
@safe
struct ReplyBuffers {
  private var fixed: UnsafeMutableRawBufferPointer
  private var data: UnsafeMutableRawBufferPointer
  /// Maximum number of descriptors of the reply.
  var descriptorLimit: Int

  /// Makes empty buffers.
  init() {
    unsafe fixed = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    unsafe data = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    descriptorLimit = 0
  }

  init(
    fixed: UnsafeMutableRawBufferPointer,
    data: UnsafeMutableRawBufferPointer = unsafe UnsafeMutableRawBufferPointer(
      start: nil, count: 0),
    descriptorLimit: Int = 0
  ) {
    unsafe self.fixed = fixed
    unsafe self.data = data
    self.descriptorLimit = descriptorLimit
  }

  /// Maximum size of the reply's payload in bytes.
  var size: Int { unsafe fixed.count + data.count }

  /// Copies a payload of at most ``size`` bytes into the buffers.
  ///
  /// Called before the thread that owns the buffers continues.
  func fill(with payload: Span<UInt8>) {
    precondition(payload.count <= size, "a reply that was not checked")
    // Sound: the buffers are valid until the call has ended, and the count was checked.
    unsafe payload.withUnsafeBytes { bytes in
      let split = unsafe min(bytes.count, fixed.count)
      unsafe fixed.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<split]))
      if split < bytes.count {
        unsafe data.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[split...]))
      }
    }
  }
}
