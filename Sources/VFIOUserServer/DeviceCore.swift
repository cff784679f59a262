/// What the framework keeps for one device: its regions, its configuration space, its interrupts and the
/// memory of its client.
///
/// The device sees the parts that are for it through its ``DeviceContext``.
final class DeviceCore: Sendable {
  let interrupts: Interrupts
  let memory: GuestMemory
  let configuration: ConfigurationSpace
  let regions: RegionSet
  let signals: RegionIOEvents
  let worker = Worker()

  init(
    for description: PCIDescription, guardsMemory: Bool
  ) throws(PCIDescription.ValidationError) {
    let layout = try PCILayout(description)
    interrupts = Interrupts(description, layout)
    memory = GuestMemory(
      guarded: guardsMemory, requiresBusMaster: description.requiresBusMaster)
    configuration = try ConfigurationSpace(description, layout, interrupts, memory)
    regions = try RegionSet(description, layout, configurationSize: configuration.size)
    signals = try RegionIOEvents(description.ioEventAreas, regions)
  }

  /// Ends the present generation: what was begun in it completes nothing and interrupts nobody.
  ///
  /// Registers of configuration space return to their reset values, interrupts are low and unmasked; windows
  /// and eventfds stay.
  func reset() {
    interrupts.endGeneration(memory.endGeneration())
    configuration.reset()
    memory.setBusMaster(false)
    interrupts.reset()
  }
}
