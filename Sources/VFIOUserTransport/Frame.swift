public import VFIOUserProtocol

/// One complete message: its header, where its payload lies, and the descriptors that came with it.
///
/// The payload stays in the ``FrameAssembler`` that made the frame; ask it with
/// ``FrameAssembler/payload(of:)`` before the next receive.
public struct Frame: ~Copyable, Sendable {
  /// The header; its size and type are known to be sound.
  public let header: Header
  /// What came with the message; whatever is left here is closed with the frame.
  public var descriptors: DescriptorList
  /// Whether more descriptors came than one message may have.
  ///
  /// The surplus is closed already.
  public let hadSurplusDescriptors: Bool
  let payload: Range<Int>
}
