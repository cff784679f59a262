internal import LinuxPrimitives

/// The descriptors of a device's ``IOEventArea``s.
final class RegionIOEvents: Sendable {
  /// A descriptor and, for accesses, the device's end of its socket.
  enum Line: Sendable {
    case counter(EventFD)
    case socket(device: MessageSocket, client: MessageSocket)
  }

  /// Maximum number of descriptors of one region: QEMU's limit for a message.
  static let maxOfRegion = 16

  private let areas: [IOEventArea]
  private let lines: [String: Line]
  /// The client has the descriptors: a new version of the program needs the very same ones.
  private let kept: [KeptDescriptor]

  init(
    _ areas: [IOEventArea], _ regions: RegionSet, deviceName: String? = nil
  ) throws(PCIDescription.ValidationError) {
    var lines: [String: Line] = [:]
    for area in areas {
      try Self.check(area, regions)
      lines[area.name] = try Self.line(for: area, lines[area.name], deviceName)
    }
    kept =
      deviceName.map { device in
        lines.flatMap { Self.announce($0.value, as: Self.keptName($0.key, device)) }
      } ?? []
    self.areas = areas
    self.lines = lines
    for area in areas {
      let count = names(in: area.region).count
      guard count <= Self.maxOfRegion else {
        throw .tooManySignals(area.region, count: count, allowed: Self.maxOfRegion)
      }
    }
  }

  private static func check(
    _ area: IOEventArea, _ regions: RegionSet
  ) throws(PCIDescription.ValidationError) {
    let size = regions[area.region]?.size ?? 0
    let (end, overflow) = area.offset.addingReportingOverflow(area.size)
    guard !overflow, area.offset < size, end <= size else {
      throw .signalOutside(
        area.name, area.region, area.offset..<(overflow ? .max : end), size: size)
    }
  }

  private static func line(
    for area: IOEventArea, _ present: Line?, _ deviceName: String?
  ) throws(PCIDescription.ValidationError) -> Line {
    do {
      switch (area.channel, present) {
      case (.event, nil): return .counter(try Self.counter(area.name, deviceName))
      case (.accesses, nil):
        if let inherited = Self.socket(area.name, deviceName) { return inherited }
        let (device, client) = try MessageSocket.pair()
        return .socket(device: device, client: client)
      case (.event, .counter(let counter)): return .counter(counter)
      case (.accesses, .socket(let device, let client)):
        return .socket(device: device, client: client)
      default: throw PCIDescription.ValidationError.signalsDisagree(area.name)
      }
    } catch let failure as SystemCallError {
      throw .noDescriptor(area.name, failure)
    } catch {
      throw .signalsDisagree(area.name)
    }
  }

  private static func keptName(_ signal: String, _ device: String) -> String {
    "signal \(signal) of \(device)"
  }

  /// The eventfd of the program before this one, or a new one.
  private static func counter(
    _ name: String, _ device: String?
  ) throws(SystemCallError) -> EventFD {
    guard let device, let inherited = KeptDescriptor.take(keptName(name, device)) else {
      return try EventFD()
    }
    return EventFD(adopting: inherited)
  }

  /// The sockets of the program before this one.
  private static func socket(_ name: String, _ device: String?) -> Line? {
    guard let device, let ours = KeptDescriptor.take(keptName(name, device)),
      let theirs = KeptDescriptor.take(keptName(name, device))
    else { return nil }
    return .socket(device: MessageSocket(adopting: ours), client: MessageSocket(adopting: theirs))
  }

  private static func announce(_ line: Line, as name: String) -> [KeptDescriptor] {
    switch line {
    case .counter(let counter): [KeptDescriptor(name, counter.descriptor)]
    case .socket(let device, let client):
      [KeptDescriptor(name, device.descriptor), KeptDescriptor(name, client.descriptor)]
    }
  }

  /// The eventfd with a name, nil if there is none.
  func counter(_ name: String) -> EventFD? {
    if case .counter(let counter) = lines[name] { counter } else { nil }
  }

  /// The device's end of the socket with a name, nil if there is none.
  func socket(_ name: String) -> MessageSocket? {
    if case .socket(let device, _) = lines[name] { device } else { nil }
  }

  /// The names of the descriptors of a region, in order, each once.
  private func names(in region: RegionIndex) -> [String] {
    var names: [String] = []
    for area in areas where area.region == region && !names.contains(area.name) {
      names.append(area.name)
    }
    return names
  }

  /// The answer to DEVICE_GET_REGION_IO_FDS for a region.
  ///
  /// - Parameter limit: maximum number of descriptors that the client accepts with one message; areas beyond
  ///   it are left out, and accessed by messages.
  func subRegions(of region: RegionIndex, inPorts: Bool, limit: Int) -> [SubRegion] {
    let names = names(in: region).prefix(limit)
    return areas.filter { $0.region == region }.compactMap { area in
      guard let place = names.firstIndex(of: area.name) else { return nil }
      return area.subRegion(descriptor: UInt32(place), inPorts: inPorts)
    }
  }

  /// A copy of each descriptor of a region, in the order of ``subRegions(of:inPorts:limit:)``.
  func descriptors(of region: RegionIndex, limit: Int) throws(SystemCallError) -> DescriptorList {
    var list = DescriptorList()
    for name in names(in: region).prefix(limit) {
      switch lines[name] {
      case .counter(let counter): list.append(try counter.descriptor.duplicate())
      case .socket(_, let client): list.append(try client.descriptor.duplicate())
      case nil: break
      }
    }
    return list
  }
}

extension IOEventArea {
  fileprivate func subRegion(descriptor: UInt32, inPorts: Bool) -> SubRegion {
    switch channel {
    case .event(let match):
      var flags: SubRegionFlags = inPorts ? .portIO : []
      if match != nil { flags.insert(.dataMatch) }
      return SubRegion(
        kind: .event, offset: offset, size: size, descriptorIndex: descriptor, flags: flags,
        value: match ?? 0)
    case .accesses(let userData, let posted):
      var flags: SubRegionFlags = inPorts ? .regionPortIO : []
      if posted { flags.insert(.postedWrites) }
      return SubRegion(
        kind: .region, offset: offset, size: size, descriptorIndex: descriptor, flags: flags,
        value: userData)
    }
  }
}
