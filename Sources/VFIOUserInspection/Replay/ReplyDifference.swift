internal import VFIOUserProtocol

/// A reply of the server that a recording is played to.
struct LiveReply {
  let header: Header
  let payload: [UInt8]
  let descriptors: Int
}

/// Compares a reply with the recorded one.
struct ReplyMatcher {
  let masks: [ReplayMask]

  enum Result: Equatable {
    case equal
    /// Only masked bytes differ.
    case masked
    case different(String)
  }

  func compare(_ live: LiveReply, _ recorded: TracedMessage, _ header: Header) -> Result {
    let was = outcome(header)
    let now = outcome(live.header)
    guard was == now else { return .different("\(now) instead of \(was)") }
    guard live.descriptors == recorded.descriptors.count else {
      return .different(
        "\(live.descriptors) descriptors instead of \(recorded.descriptors.count)")
    }
    let size = recorded.wireSize - Header.wireSize
    guard live.payload.count == size else {
      return .different("\(live.payload.count) bytes of payload instead of \(size)")
    }
    return compareBytes(live.payload, Array(recorded.payload), header.command)
  }

  private func outcome(_ header: Header) -> String {
    header.flags.contains(.error) ? Names.errno(header.error) : "success"
  }

  private func compareBytes(
    _ live: [UInt8], _ recorded: [UInt8], _ command: Command
  ) -> Result {
    guard live != recorded else { return .equal }
    let access = command == .regionRead ? try? RegionAccess(decoding: recorded.span) : nil
    var isMasked = false
    // A recording may have only the first bytes.
    for index in 0..<min(live.count, recorded.count) where live[index] != recorded[index] {
      guard let access, index >= RegionAccess.wireSize else {
        return .different(text(live, recorded, index, "byte \(index) of the payload"))
      }
      let offset = access.offset &+ UInt64(index - RegionAccess.wireSize)
      guard masks.contains(where: { $0.covers(access.region, offset) }) else {
        return .different(
          text(live, recorded, index, "\(Names.region(access.region))+\(hexadecimal(offset))"))
      }
      isMasked = true
    }
    return isMasked ? .masked : .equal
  }

  private func text(_ live: [UInt8], _ recorded: [UInt8], _ index: Int, _ place: String) -> String {
    "\(place) is 0x\(hexDigits(live[index])) instead of 0x\(hexDigits(recorded[index]))"
  }
}
