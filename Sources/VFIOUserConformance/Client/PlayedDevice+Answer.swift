internal import VFIOUserProtocol

extension PlayedDevice {
  /// What a VERSION is answered with: only what every client may be told.
  static let capabilities =
    #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}"#

  static func version(_ json: String?, major: UInt16 = 0, minor: UInt16 = 1) -> [UInt8] {
    .u16(major, minor) + (json.map { Array($0.utf8) + [0] } ?? [])
  }

  /// Carries out a command.
  mutating func answer(to message: Message) -> Answer {
    let index = message.word(8)
    switch message.header.command {
    case .version:
      let proposed: UInt16 = message.payload.number(at: 2) ?? 0
      return Answer(payload: Self.version(Self.agreed(message), minor: min(1, proposed)))
    case .deviceGetInfo:
      return Answer(payload: .u32(16, 3, Self.regionCount, UInt32(Self.irqCounts.count)))
    case .deviceGetRegionInfo:
      guard index < Self.regionCount else { return .refusal(22) }
      return Answer(payload: Self.regionInfo(index))
    case .deviceGetIRQInfo:
      guard index < Self.irqCounts.count else { return .refusal(22) }
      return Answer(payload: Self.irqInfo(index))
    case .regionRead, .regionWrite: return access(message)
    case .dmaUnmap: return Answer(payload: Array(message.payload.prefix(24)))
    case .dmaMap, .deviceSetIRQs, .deviceReset: return Answer(payload: [])
    // No migration, no descriptors for I/O, nothing else.
    case .deviceGetRegionIOFDs, .deviceFeature: return .refusal(95)
    default: return .refusal(38)
    }
  }

  /// The plain capabilities, as far as the client proposed them.
  private static func agreed(_ message: Message) -> String? {
    guard let facts = try? VersionFacts(message), let proposed = try? facts.capabilities() else {
      return nil
    }
    let known = [("max_msg_fds", 8), ("max_data_xfer_size", 1 << 20)]
    let fields = known.filter { proposed.names.contains($0.0) }.map { name, most in
      "\"\(name)\":\(min(UInt64(most), proposed[name]?.whole ?? UInt64(most)))"
    }
    return #"{"capabilities":{\#(fields.joined(separator: ","))}}"#
  }

  private mutating func access(_ message: Message) -> Answer {
    let (offset, region, count) = (message.long(0), message.word(8), message.word(12))
    let head = Array(message.payload.prefix(16))
    if message.header.command == .regionRead {
      guard let data = read(region, offset, count) else { return .refusal(22) }
      return Answer(payload: head + data)
    }
    guard
      write(region, offset, Array(message.payload.dropFirst(16).prefix(Int(min(count, 1 << 20)))))
    else { return .refusal(22) }
    return Answer(payload: head)
  }
}

extension Transcript {
  /// Follows the windows of the client, and writes down which rules it breaks.
  mutating func follow(_ message: Message) {
    switch message.header.command {
    case .dmaMap: map(message)
    case .dmaUnmap: unmap(message)
    default: break
    }
  }

  private mutating func map(_ message: Message) {
    let window = ClientWindow(
      address: message.long(16), size: message.long(24), flags: message.word(4),
      offset: message.long(8), descriptors: message.descriptors)
    if let other = windows.first(where: { $0.address < window.end && window.address < $0.end }) {
      windowFaults.append("a window at \(hex(window.address)) over one at \(hex(other.address))")
    }
    windows.append(window)
  }

  private mutating func unmap(_ message: Message) {
    let (flags, address, size) = (message.word(4), message.long(8), message.long(16))
    if flags & 2 != 0 { return windows = [] }
    let place = windows.firstIndex { $0.address == address && $0.size == size }
    guard let place else {
      windowFaults.append("no window at \(hex(address)) with \(hex(size)) bytes to remove")
      return
    }
    windows.remove(at: place)
  }
}
