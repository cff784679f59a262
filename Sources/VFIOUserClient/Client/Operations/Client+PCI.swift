/// Bits of the command register in a device's configuration space (PCI Local Bus Specification 3.0, 6.2.2).
public struct PCICommand: OptionSet, Hashable, Sendable {
  /// The value of the register.
  public let rawValue: UInt16

  /// Makes a set from the value of the register.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The device responds to accesses to its I/O regions.
  public static let io = PCICommand(rawValue: 1 << 0)
  /// The device responds to accesses to its memory regions.
  public static let memory = PCICommand(rawValue: 1 << 1)
  /// The device may access memory (DMA), and send MSI.
  public static let busMaster = PCICommand(rawValue: 1 << 2)
  /// The device watches special cycles.
  public static let specialCycles = PCICommand(rawValue: 1 << 3)
  /// The device may use Memory Write and Invalidate.
  public static let memoryWriteAndInvalidate = PCICommand(rawValue: 1 << 4)
  /// The device snoops accesses to the VGA palette.
  public static let vgaPaletteSnoop = PCICommand(rawValue: 1 << 5)
  /// The device responds to parity errors.
  public static let parityErrorResponse = PCICommand(rawValue: 1 << 6)
  /// The device may signal SERR#.
  public static let serr = PCICommand(rawValue: 1 << 8)
  /// The device may send fast back-to-back transactions to different targets.
  public static let fastBackToBack = PCICommand(rawValue: 1 << 9)
  /// The device does not signal INTx.
  public static let interruptDisable = PCICommand(rawValue: 1 << 10)

  /// Offset of the register.
  static let offset: UInt64 = 0x04
}

extension Client {
  /// Sets bits of the device's command register and keeps the others; a driver needs `enable([.memory,
  /// .busMaster])` before DMA.
  ///
  /// This takes three accesses, so no other thread may change the register meanwhile.
  ///
  /// - Returns: the bits that are set now; a device may not support all.
  @discardableResult
  public func enable(
    _ bits: PCICommand, timeout: Duration? = nil
  ) throws(ClientError) -> PCICommand {
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    let old = try connection.perform(Exchanges.command, before: deadline)
    let access = Exchanges.commandAccess
    try connection.write(access, old.union(bits).rawValue, before: deadline)
    return try connection.perform(Exchanges.command, before: deadline)
  }

  /// Sets bits of the device's command register and keeps the others; suspends the task.
  @discardableResult
  public func enable(
    _ bits: PCICommand, timeout: Duration? = nil
  ) async throws(ClientError) -> PCICommand {
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    let new = try await connection.perform(Exchanges.command, before: deadline).union(bits).rawValue
    let bytes = [UInt8(truncatingIfNeeded: new), UInt8(truncatingIfNeeded: new >> 8)]
    _ = try await connection.perform(
      Exchanges.write(Exchanges.commandAccess, bytes), before: deadline)
    return try await connection.perform(Exchanges.command, before: deadline)
  }
}

extension Exchanges {
  fileprivate static var commandAccess: RegionAccess {
    RegionAccess(offset: PCICommand.offset, region: .configuration, count: 2)
  }

  fileprivate static let command = Exchange<PCICommand>(
    request: read(commandAccess).request
  ) { (payload, _) throws(ClientError) in
    let data = try ReplyCheck.data(of: commandAccess, payload)
    return PCICommand(rawValue: data.littleEndian(at: 0))
  }
}
