internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Saves and loads the state of a device that is suspended.
struct DeviceStateTransfer: Sendable {
  let core: DeviceCore
  let device: any SavableDevice

  /// The sections that every state has once, in their order; memory comes between, any number of times.
  private enum Name {
    static let kind = "kind"
    static let configuration = "configuration"
    static let interrupts = "interrupts"
    static let dma = "dma"
    static let device = "device"
  }

  /// Whether the device may reach memory.
  private struct DMARecord: Codable {
    var isAllowed: Bool
  }

  /// Most bytes that a state may have: memory may come twice.
  var limit: UInt64 {
    core.regions.memories.reduce(UInt64(2 * StateForm.maxContent)) {
      $0 + 2 * $1.memory.stateLimit
    }
  }

  /// Saves everything.
  func save() throws(StateError) -> StateFile {
    var writer = try StateWriter(limit: limit)
    for (region, memory) in core.regions.memories {
      try memory.save(as: RegionMemory.sectionName(region), into: &writer)
    }
    try save(into: &writer)
    return writer.file
  }

  /// Saves everything but the memory behind regions, and ends the stream.
  func save(into writer: inout StateWriter) throws(StateError) {
    try writer.add(Name.kind, core.kind)
    try writer.add(Name.configuration, core.configuration.record)
    try writer.add(Name.interrupts, core.interrupts.record)
    try writer.add(Name.dma, DMARecord(isAllowed: core.memory.isDMAAllowed))
    try save(device, into: &writer)
    try writer.end()
  }

  private func save(_ device: some SavableDevice, into writer: inout StateWriter) throws(StateError)
  {
    try writer.add(Name.device, version: type(of: device).savedStateVersion, try device.save())
  }

  /// Loads everything, or changes nothing of what the framework owns.
  ///
  /// - Parameter withMemory: whether the memory behind regions is loaded too; false if it is there already.
  /// - Throws: what is wrong with the state, or why the device refuses it; the device has to be reset then.
  func load(_ file: StateFile, withMemory: Bool = true) throws(StateError) {
    let reader = try StateReader(file)
    var sections = try Sections(reader, memories: core.regions.memories)
    if let difference = core.kind.difference(from: try sections.decode(DeviceKind.self, Name.kind))
    {
      throw StateError("the state is of another device: \(difference)")
    }
    let configuration = try core.configuration.check(
      sections.decode(ConfigurationRecord.self, Name.configuration))
    let interrupts = try sections.decode(InterruptRecord.self, Name.interrupts)
    try core.interrupts.check(interrupts)
    let dma = try sections.decode(DMARecord.self, Name.dma)
    try load(device, &sections)
    core.beginLoading()
    core.configuration.apply(configuration)
    core.interrupts.apply(interrupts)
    core.memory.setDMAAllowed(dma.isAllowed)
    guard withMemory else { return }
    for (region, memory) in core.regions.memories {
      try memory.apply(sections.memory[region] ?? [], reader)
    }
  }

  /// Checks a stream without memory against a kind of device, without a device: that all sections are there, of versions
  /// that are known, and can be decoded.
  static func check(
    _ file: StateFile, for type: any SavableDevice.Type
  ) throws(StateError) {
    let reader = try StateReader(file)
    var sections = try Sections(reader, memories: [])
    _ = try sections.decode(DeviceKind.self, Name.kind)
    _ = try sections.decode(ConfigurationRecord.self, Name.configuration)
    _ = try sections.decode(InterruptRecord.self, Name.interrupts)
    _ = try sections.decode(DMARecord.self, Name.dma)
    try check(type, &sections)
  }

  private static func check<Kind: SavableDevice>(
    _ type: Kind.Type, _ sections: inout Sections
  ) throws(StateError) {
    _ = try state(of: type, in: &sections)
  }

  private func load<Kind: SavableDevice>(
    _ device: Kind, _ sections: inout Sections
  ) throws(StateError) {
    try device.load(try Self.state(of: Kind.self, in: &sections))
  }

  /// The device's own section, the last one that is asked for.
  private static func state<Kind: SavableDevice>(
    of type: Kind.Type, in sections: inout Sections
  ) throws(StateError) -> Kind.SavedState {
    let state = try sections.decode(
      as: type, Name.device, newest: type.savedStateVersion)
    try sections.requireAllKnown()
    return state
  }

  /// The sections of a stream by name.
  private struct Sections {
    private let reader: StateReader
    private var single: [String: StateSection] = [:]
    private(set) var memory: [RegionIndex: [StateSection]] = [:]

    init(
      _ reader: StateReader, memories: [(region: RegionIndex, memory: RegionMemory)]
    ) throws(StateError) {
      self.reader = reader
      for section in reader.sections {
        if let (region, memory) = memories.first(where: {
          RegionMemory.sectionName($0.region) == section.name
        }) {
          try Self.require(section, newest: 1)
          try memory.check(section, reader)
          self.memory[region, default: []].append(section)
        } else if single.updateValue(section, forKey: section.name) != nil {
          throw StateError("the state has two sections \(section.name)")
        }
      }
    }

    /// Takes the value of a section of the framework.
    mutating func decode<State: Decodable>(
      _ type: State.Type, _ name: String
    ) throws(StateError) -> State {
      try decode(State.self, name, newest: 1)
    }

    /// Takes the value of the device's own section.
    mutating func decode<Kind: SavableDevice>(
      as type: Kind.Type, _ name: String, newest: UInt16
    ) throws(StateError) -> Kind.SavedState {
      try decode(Kind.SavedState.self, name, newest: newest)
    }

    private mutating func decode<State: Decodable>(
      _ type: State.Type, _ name: String, newest: UInt16
    ) throws(StateError) -> State {
      guard let section = single.removeValue(forKey: name) else {
        throw StateError("the state has no section \(name)")
      }
      try Self.require(section, newest: newest)
      return try reader.decode(type, section)
    }

    private static func require(_ section: StateSection, newest: UInt16) throws(StateError) {
      guard 1...newest ~= section.version else {
        throw StateError(
          "the section \(section.name) has version \(section.version), this program knows 1 to \(newest)"
        )
      }
    }

    func requireAllKnown() throws(StateError) {
      guard let unknown = single.keys.min() else { return }
      throw StateError("the section \(unknown) is unknown to this program")
    }
  }
}
