internal import VFIOUserProtocol

/// What commands mean for DMA windows and for the negotiated limits.
extension ConnectionChecker {
  /// Checks a command whose payload is well-formed.
  mutating func meaning(of header: Header, _ message: TracedMessage) -> [Violation] {
    let payload = message.payload.span
    switch header.command {
    case .dmaMap: return (try? DMAMap(decoding: payload)).map { map($0, message) } ?? []
    case .dmaUnmap: return (try? DMAUnmap(decoding: payload)).map { unmap($0) } ?? []
    case .dmaRead, .dmaWrite:
      return (try? DMAAccess(decoding: payload)).map { access($0, header.command) } ?? []
    case .regionRead, .regionWrite:
      return (try? RegionAccess(decoding: payload)).map { transfer($0.count, .server) } ?? []
    case .deviceSetIRQs:
      return (try? SetInterrupts(decoding: payload)).map {
        DescriptorCheck.interrupts($0, message.descriptors.count)
      } ?? []
    default: return []
    }
  }

  private mutating func map(_ map: DMAMap, _ message: TracedMessage) -> [Violation] {
    let clause = Clause.of(.dmaMap)
    guard map.size > 0 else { return [Violation(clause, "a window of size 0")] }
    guard !map.address.addingReportingOverflow(map.size - 1).overflow else {
      return [Violation(clause, "the window goes beyond the last address")]
    }
    var findings: [Violation] = []
    if map.argumentSize != UInt32(DMAMap.wireSize) {
      findings.append(Violation(clause, "argsz is \(map.argumentSize), the structure has 32 bytes"))
    }
    if message.descriptors.isEmpty, map.offset != 0 {
      findings.append(
        Violation(clause, "offset is \(hexadecimal(map.offset)) without a descriptor, must be zero")
      )
    }
    if let other = hasGaps ? nil : windows.overlapping(map.address, map.size) {
      findings.append(
        Violation(
          clause,
          "overlaps the window at \(hexadecimal(other.address)) of \(hexadecimal(other.size)) bytes"
        ))
    } else if windows.count >= negotiation.mostWindows {
      findings.append(
        Violation(Clause.version, "more windows than max_dma_maps, \(negotiation.mostWindows)"))
    }
    let page = negotiation.smallestPage
    if (map.address | map.size) & (page - 1) != 0 {
      findings.append(
        Violation(Clause.version, "not aligned to the smallest of pgsizes, \(hexadecimal(page))"))
    }
    windows.add(map.address, map.size, map.flags)
    return findings
  }

  private mutating func unmap(_ unmap: DMAUnmap) -> [Violation] {
    if windows.leave(unmap) || windows.isUnknown || hasGaps { return [] }
    return [
      Violation(
        Clause.of(.dmaUnmap), "address and size are not exactly those of a window that is mapped")
    ]
  }

  private func access(_ access: DMAAccess, _ command: Command) -> [Violation] {
    var findings = transfer(UInt32(clamping: access.count), .client)
    let permission: DMAMapFlags = command == .dmaRead ? .readable : .writable
    if !hasGaps, !windows.covers(access, permission) {
      let what = command == .dmaRead ? "readable" : "writable"
      findings.append(
        Violation(
          Clause.of(command),
          "\(access.count) bytes at \(hexadecimal(access.address)) are not in windows that are \(what)"
        ))
    }
    return findings
  }

  private func transfer(_ count: UInt32, _ receiver: Command.Role) -> [Violation] {
    let limit = negotiation.transferLimit(of: receiver)
    guard count > limit else { return [] }
    return [
      Violation(
        Clause.transfers, "count is \(count), max_data_xfer_size of the \(receiver) is \(limit)")
    ]
  }

  /// A command has its reply.
  mutating func conclude(_ request: OpenRequest, _ reply: Header, _ message: TracedMessage) {
    let isError = reply.flags.contains(.error)
    switch reply.command {
    case .dmaMap:
      guard isError, let map = try? DMAMap(decoding: request.fixed.span) else { return }
      windows.remove(map.address, map.size)
    case .dmaUnmap:
      let fixed = request.fixed.prefix(DMAUnmap.wireSize)
      var bytes = Array(fixed)
      // Decoded without the bitmap behind it.
      if bytes.count > 4 { bytes[4] &= ~1 }
      guard let unmap = try? DMAUnmap(decoding: bytes.span) else { return }
      windows.left(unmap, succeeded: !isError)
    default: break
    }
  }
}
