import VFIOUserProtocol

/// Compares a reply without error with its command.
enum ReplyComparison {
  static func violations(_ request: OpenRequest, _ message: TracedMessage) -> [Violation] {
    let payload = message.payload.span
    let command = request.header.command
    let clause = Clause.of(command)
    switch command {
    case .regionRead, .regionWrite: return region(request, payload, clause)
    case .dmaRead: return dma(request, payload, clause)
    case .dmaWrite: return dmaWrite(request, payload, clause)
    case .dmaUnmap: return echo(request, payload, [8, 12, 16, 20], clause)
    case .deviceGetInfo: return argumentSize(request, payload)
    case .deviceGetRegionInfo, .deviceGetIRQInfo, .deviceGetRegionIOFDs:
      return argumentSize(request, payload) + echo(request, payload, [8], clause)
    case .deviceFeature: return argumentSize(request, payload) + feature(request, payload, clause)
    case .migrationDataRead: return migration(request, payload, clause)
    case .regionWriteMulti: return writeMulti(request, payload, clause)
    default: return []
    }
  }

  /// A reply has at most as many bytes as the command's `argsz` permits.
  private static func argumentSize(
    _ request: OpenRequest, _ payload: Span<UInt8>
  ) -> [Violation] {
    guard let limit = request.word(at: 0), payload.count > Int(limit) else { return [] }
    return [
      Violation(Clause.sizes, "\(payload.count) bytes of payload, argsz of the command is \(limit)")
    ]
  }

  /// Words of the command that the reply repeats.
  private static func echo(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ offsets: [Int], _ clause: String
  ) -> [Violation] {
    for offset in offsets {
      guard let asked = request.word(at: offset), payload.count >= offset + 4 else { continue }
      let told: UInt32 = payload.littleEndian(at: offset)
      guard asked != told else { continue }
      return [
        Violation(
          clause,
          "\(hexadecimal(UInt64(told))) at offset \(offset), the command has \(hexadecimal(UInt64(asked)))"
        )
      ]
    }
    return []
  }

  private static func region(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard let asked = try? RegionAccess(decoding: request.fixed.span),
      let told = try? RegionAccess(decoding: payload)
    else { return [] }
    guard asked.offset == told.offset, asked.region == told.region else {
      return [Violation(clause, "region or offset are not those of the command")]
    }
    guard told.count <= asked.count else {
      return [Violation(clause, "count is \(told.count), the command has \(asked.count)")]
    }
    return []
  }

  private static func dma(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard let asked = try? DMAAccess(decoding: request.fixed.span),
      let told = try? DMAAccess(decoding: payload)
    else { return [] }
    guard asked.address == told.address, told.count <= asked.count else {
      return [Violation(clause, "address or count are not those of the command")]
    }
    return []
  }

  private static func dmaWrite(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard let asked = try? DMAAccess(decoding: request.fixed.span),
      let told = try? DMAWriteReply(decoding: payload), !told.confirms(asked)
    else { return [] }
    return [Violation(clause, "address or count are not those of the command")]
  }

  private static func feature(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard let asked = try? DeviceFeature(decoding: request.fixed.span),
      let told = try? DeviceFeature(decoding: payload), asked.feature != told.feature
    else { return [] }
    return [Violation(clause, "\(told.feature), the command has \(asked.feature)")]
  }

  private static func migration(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard let asked = try? MigrationData(decoding: request.fixed.span),
      let told = try? MigrationData(decoding: payload), told.size > asked.size
    else { return [] }
    return [Violation(clause, "size is \(told.size), the command has \(asked.size)")]
  }

  private static func writeMulti(
    _ request: OpenRequest, _ payload: Span<UInt8>, _ clause: String
  ) -> [Violation] {
    guard request.fixed.count >= 8,
      let told = try? RegionWriteMultiReply(decoding: payload)
    else { return [] }
    let asked: UInt64 = request.fixed.span.littleEndian(at: 0)
    guard told.writeCount > asked else { return [] }
    return [Violation(clause, "\(told.writeCount) writes completed, the command has \(asked)")]
  }
}
