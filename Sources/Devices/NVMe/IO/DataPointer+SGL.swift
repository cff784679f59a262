internal import NVMeProtocol

/// Scatter gather lists (NVMe 1.4, section 4.4).
extension DataPointer {
  /// Most descriptors of one command: a list that is longer, or that goes in circles, is refused.
  static let maxDescriptors = 2048

  /// Walks the segments of an SGL.
  func resolveList(
    _ entry: SubmissionEntry, _ count: UInt64, _ ranges: inout [GuestRange]
  ) throws(CommandError) {
    var rest = count
    var left = Self.maxDescriptors
    var next = entry.sglDescriptor
    guard next.kind == .segment || next.kind == .lastSegment else {
      try take(next, &rest, &ranges)
      guard rest == 0 else { throw Self.wrongLength }
      return
    }
    while true {
      guard next.subtype == 0 else { throw Self.wrongType }
      let isLast = next.kind == .lastSegment
      guard next.length >= 16, next.length % 16 == 0 else {
        throw CommandError(Status.invalidSGLSegment.final, byte: 24)
      }
      let descriptors = Int(next.length / 16)
      guard descriptors <= left else {
        throw CommandError(Status.invalidSGLCount.final, byte: 24)
      }
      left -= descriptors
      guard
        let link = try walk(next.address, descriptors, mayGoOn: !isLast, &rest, &ranges)
      else { break }
      next = link
    }
    guard rest == 0 else { throw Self.wrongLength }
  }

  /// Takes the descriptors of one segment.
  ///
  /// - Returns: the descriptor of the next segment, which only the last of a segment can be.
  private func walk(
    _ address: UInt64, _ descriptors: Int, mayGoOn: Bool, _ rest: inout UInt64,
    _ ranges: inout [GuestRange]
  ) throws(CommandError) -> SGLDescriptor? {
    var done = 0
    while done < descriptors {
      let piece = min(descriptors - done, scratch.size / SGLDescriptor.wireSize)
      let (place, wraps) = address.addingReportingOverflow(
        UInt64(done * SGLDescriptor.wireSize))
      guard !wraps else { throw CommandError(Status.dataTransferError, byte: 24) }
      try load(2 * piece, at: place)
      for index in 0..<piece {
        let descriptor = SGLDescriptor(
          address: scratch.number(at: 16 * index), second: scratch.number(at: 16 * index + 8))
        if descriptor.kind == .segment || descriptor.kind == .lastSegment {
          guard mayGoOn, done + index == descriptors - 1 else {
            throw CommandError(Status.invalidSGLSegment.final, byte: 24)
          }
          return descriptor
        }
        try take(descriptor, &rest, &ranges)
      }
      done += piece
    }
    // A segment that is not the last has to lead to another one.
    guard !mayGoOn else { throw CommandError(Status.invalidSGLSegment.final, byte: 24) }
    return nil
  }

  /// Takes a piece of data.
  private func take(
    _ descriptor: SGLDescriptor, _ rest: inout UInt64, _ ranges: inout [GuestRange]
  ) throws(CommandError) {
    guard descriptor.kind == .dataBlock, descriptor.subtype == 0 else { throw Self.wrongType }
    let size = UInt64(descriptor.length)
    // Longer lists than data are not supported (SGLS bit 18).
    guard size <= rest else { throw Self.wrongLength }
    Self.append(GuestRange(address: descriptor.address, count: size), &ranges)
    rest -= size
  }

  private static let wrongType = CommandError(Status.sglTypeInvalid.final, byte: 24)
  private static let wrongLength = CommandError(Status.dataSGLLengthInvalid.final, byte: 24)
}
