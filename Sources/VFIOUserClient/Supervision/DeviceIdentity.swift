internal import LinuxPrimitives

/// The properties that must be the same after a reconnection.
struct DeviceIdentity: Equatable, Sendable {
  private let numbers: [UInt8]
  private let regions: [RegionInfo]
  private let interrupts: [InterruptInfo]

  /// Queries the device of a connection.
  init(_ connection: Connection, before deadline: Deadline) throws(ClientError) {
    let info = try connection.perform(
      Exchanges.deviceInfo, before: connection.usualDeadline(atMost: deadline))
    var regions: [RegionInfo] = []
    for number in 0..<info.regionCount {
      let region = try connection.perform(
        Exchanges.regionInfo(RegionIndex(rawValue: number), room: RegionInfo.wireSize),
        before: connection.usualDeadline(atMost: deadline))
      regions.append(region.info)
    }
    var interrupts: [InterruptInfo] = []
    for number in 0..<info.interruptTypeCount {
      let index = InterruptIndex(rawValue: number)
      interrupts.append(
        try connection.perform(
          Exchanges.interruptInfo(index), before: connection.usualDeadline(atMost: deadline)))
    }
    self.regions = regions
    self.interrupts = interrupts
    numbers = try Self.numbers(connection, regions, deadline)
  }

  /// The numbers: vendor and device, revision and class, subsystem.
  ///
  /// Fewer if configuration space cannot be read or is too short.
  private static func numbers(
    _ connection: Connection, _ regions: [RegionInfo], _ deadline: Deadline
  ) throws(ClientError) -> [UInt8] {
    guard let space = regions.first(where: { $0.index == .configuration }),
      space.flags.contains(.readable), space.size > 0
    else { return [] }
    let access = RegionAccess(
      offset: 0, region: .configuration, count: UInt32(min(space.size, 64)))
    let bytes: [UInt8]
    do throws(ClientError) {
      bytes = try connection.perform(
        Exchanges.read(access), before: connection.usualDeadline(atMost: deadline))
    } catch {
      guard case .refused = error.reason else { throw error }
      return []
    }
    let places = [0..<4, 8..<12, 0x2C..<0x30].map { $0.clamped(to: bytes.indices) }
    return places.flatMap { bytes[$0] }
  }
}
