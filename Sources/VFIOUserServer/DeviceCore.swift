/// The framework's state of one device: regions, configuration space, interrupts and the client's memory.
///
/// The device uses it through its ``DeviceContext``.
final class DeviceCore: Sendable {
  let interrupts: Interrupts
  let memory: GuestMemory
  let configuration: ConfigurationSpace
  let regions: RegionSet
  let signals: RegionIOEvents
  let worker = Worker()
  let kind: DeviceKind

  init(
    for description: PCIDescription, guardsMemory: Bool, name: String? = nil
  ) throws(PCIDescription.ValidationError) {
    let layout = try PCILayout(description)
    interrupts = Interrupts(description, layout)
    memory = GuestMemory(
      guarded: guardsMemory, requiresBusMaster: description.requiresBusMaster)
    configuration = try ConfigurationSpace(description, layout, interrupts, memory)
    regions = try RegionSet(
      description, layout, configurationSize: configuration.size, deviceName: name)
    signals = try RegionIOEvents(description.ioEventAreas, regions, deviceName: name)
    kind = DeviceKind(description, regions, interrupts)
  }

  /// Ends the present generation: its work completes nothing and raises no interrupt.
  ///
  /// Registers of configuration space get their reset values; interrupts are low and unmasked. DMA windows
  /// and eventfds stay.
  func reset() {
    interrupts.endGeneration(memory.endGeneration())
    configuration.reset()
    memory.setBusMaster(false)
    interrupts.reset()
  }

  /// Ends the present generation, as a reset does, for a state that is loaded.
  func beginLoading() {
    interrupts.endGeneration(memory.endGeneration())
    memory.beginGeneration()
  }
}
