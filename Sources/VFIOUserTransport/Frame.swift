public import VFIOUserProtocol

/// One complete message: header, location of the payload, and the descriptors received with it.
///
/// The payload stays in the ``FrameAssembler`` that returned the frame; read it with
/// ``FrameAssembler/payload(of:)`` before the next receive.
public struct Frame: ~Copyable, Sendable {
  /// The header; its size and type bits have been validated.
  public let header: Header
  /// The descriptors received with the message; those left here are closed with the frame.
  public var descriptors: DescriptorList
  /// Whether the message came with more descriptors than allowed.
  ///
  /// The surplus is already closed.
  public let hadSurplusDescriptors: Bool
  let payload: Range<Int>
}
