internal import VFIOUserProtocol

/// What the messages before say of the device.
extension ConnectionChecker {
  /// Names the registers of an access whose meaning depends on the device.
  func nameRegisters(_ header: Header, _ checked: inout CheckedMessage) {
    guard header.command == .regionRead || header.command == .regionWrite,
      let access = try? RegionAccess(decoding: checked.message.payload.span),
      let names = device.registers(access)
    else { return }
    checked.words.add(registers: names)
  }

  /// Remembers what a reply says of the device.
  ///
  /// - Returns: what contradicts replies before.
  mutating func learn(_ reply: Header, _ message: TracedMessage) -> [Violation] {
    let payload = message.payload.span
    switch reply.command {
    case .regionRead:
      guard let access = try? RegionAccess(decoding: payload),
        let data = try? access.data(in: payload)
      else { return [] }
      device.learn(access, data)
    case .deviceGetIRQInfo:
      guard let info = try? InterruptInfo(decoding: payload) else { return [] }
      device.learn(info)
    default: return []
    }
    return device.contradiction().map { [$0] } ?? []
  }
}
