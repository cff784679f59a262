internal import VFIOUserTransport

extension RegisterFile {
  /// What all registers of a file hold, by name: the part of a device's saved state that its registers are.
  public struct Contents: Codable, Equatable, Sendable {
    /// What each register holds.
    public var values: [String: UInt64]

    /// Creates contents.
    public init(values: [String: UInt64]) { self.values = values }
  }

  /// What all registers hold; no hook is called.
  ///
  /// - Precondition: each register has a name of its own, as in every file of a device.
  public var contents: Contents {
    let values = values.withLock { $0 }
    return Contents(values: Dictionary(uniqueKeysWithValues: zip(registers.map(\.name), values)))
  }

  /// Has all registers hold what they held when ``contents`` was read; those that are not named get their reset
  /// values.
  ///
  /// No hook is called and nothing is interrupted: the framework saves the interrupts itself.
  ///
  /// - Throws: when there is no register of a name, or it is narrower than what it is to hold; nothing has changed
  ///   then.
  public func load(_ contents: Contents) throws(StateError) {
    var loaded = registers.map(\.reset)
    var places = Dictionary(
      registers.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    for (name, value) in contents.values.sorted(by: { $0.key < $1.key }) {
      guard let place = places.removeValue(forKey: name) else {
        throw StateError("there is no register \(name)")
      }
      let bits = registers[place].width.bits
      guard value & ~bits == 0 else {
        throw StateError(
          "the register \(name) has the bits \(hex(bits)), and cannot hold \(hex(value))")
      }
      loaded[place] = value
    }
    values.withLock { $0 = loaded }
  }
}
