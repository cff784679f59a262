internal import LinuxPrimitives
internal import SystemPackage

/// The check of a reply, the same for threads, tasks and fences.
struct ReplyCheck {
  /// Maximum number of payload bytes of a reply that is not decoded; further bytes are ignored.
  static let usualLimit = 64

  let command: Command
  /// Maximum size of the payload in bytes.
  let limit: Int
  /// Maximum number of descriptors.
  let descriptorLimit: Int

  init(_ command: Command, limit: Int = Self.usualLimit, descriptorLimit: Int) {
    self.command = command
    self.limit = limit
    self.descriptorLimit = descriptorLimit
  }

  /// Why a reply is invalid, nil if it is valid.
  func failure(
    of header: Header, _ payload: Span<UInt8>, _ descriptors: borrowing DescriptorList
  ) -> ClientError? {
    if let refusal = header.refusal(of: command) { return refusal }
    guard header.command == command else {
      return .implausibleReply(command, "it answers \(header.command)")
    }
    guard payload.count <= limit else {
      return .implausibleReply(command, "\(payload.count) bytes, at most \(limit) were expected")
    }
    guard descriptors.count <= descriptorLimit else {
      let count = descriptors.count
      return .implausibleReply(
        command, "\(count) descriptors, at most \(descriptorLimit) were expected")
    }
    return nil
  }

  /// The error of a reply that is too short and not decoded.
  func shortage(_ payload: Span<UInt8>) -> ClientError? {
    let needed = command == .dmaUnmap ? DMAUnmap.wireSize : 0
    guard payload.count < needed else { return nil }
    return .malformedReply(command, .truncated(needed: needed, had: payload.count))
  }
}

/// Replies to region accesses must repeat the access; the reply to a read has exactly its bytes, the reply to
/// a write none (specification, "VFIO_USER_REGION_READ", "VFIO_USER_REGION_WRITE").
extension ReplyCheck {
  /// Checks the reply to a read.
  ///
  /// - Returns: the bytes.
  @_lifetime(copy payload)
  static func data(
    of access: RegionAccess, _ payload: Span<UInt8>
  ) throws(ClientError) -> Span<UInt8> {
    try check(access, payload, .regionRead)
    do throws(WireError) {
      return try access.data(in: payload)
    } catch {
      throw unfitting(.regionRead, access, payload.count)
    }
  }

  /// Checks the fixed part of the reply to a read whose bytes are in another buffer.
  ///
  /// - Parameter size: of the whole payload, in bytes.
  static func requireData(
    of access: RegionAccess, _ fixed: Span<UInt8>, size: Int
  ) throws(ClientError) {
    try check(access, fixed, .regionRead)
    guard size - RegionAccess.wireSize == Int(access.count) else {
      throw unfitting(.regionRead, access, size)
    }
  }

  /// Checks the reply to a write.
  static func requireNoData(
    of access: RegionAccess, _ payload: Span<UInt8>
  ) throws(ClientError) {
    try check(access, payload, .regionWrite)
    do throws(WireError) {
      try access.requireNoData(in: payload)
    } catch {
      throw unfitting(.regionWrite, access, payload.count)
    }
  }

  private static func check(
    _ access: RegionAccess, _ payload: Span<UInt8>, _ command: Command
  ) throws(ClientError) {
    let answered = try decode(RegionAccess.self, payload, of: command)
    guard answered == access else {
      throw .implausibleReply(command, "it is about \(answered), not \(access)")
    }
  }

  private static func unfitting(
    _ command: Command, _ access: RegionAccess, _ size: Int
  ) -> ClientError {
    .implausibleReply(command, "\(size) bytes do not answer \(access)")
  }
}

extension Header {
  /// The error of a reply to a refused command.
  func refusal(of command: Command) -> ClientError? {
    flags.contains(.error) ? .refused(command, Errno(peer: error)) : nil
  }
}
