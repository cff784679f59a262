internal import LinuxPrimitives

/// What a waiting thread gets: bytes of the payload, and what came with it.
struct Reply: ~Copyable {
  var count = 0
  var descriptors = DescriptorList()
}

/// Where the payload of a reply goes: its first bytes to `fixed`, the rest to `data`.
///
/// A longer one is an error of the server's, and consumed.
@safe
struct ReplyBuffers {
  private var fixed: UnsafeMutableRawBufferPointer
  private var data: UnsafeMutableRawBufferPointer
  /// Most descriptors that the reply may bring.
  var descriptorLimit: Int

  /// No room at all.
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

  /// Most bytes that the reply's payload may have.
  var size: Int { unsafe fixed.count + data.count }

  /// Copies a payload in, of ``size`` bytes at most.
  ///
  /// Called before the thread that has lent the buffers goes on.
  func fill(with payload: Span<UInt8>) {
    precondition(payload.count <= size, "a reply that was not checked")
    // Sound: the buffers are lent until the call is over, and the count was just compared.
    unsafe payload.withUnsafeBytes { bytes in
      let split = unsafe min(bytes.count, fixed.count)
      unsafe fixed.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<split]))
      if split < bytes.count {
        unsafe data.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[split...]))
      }
    }
  }
}
