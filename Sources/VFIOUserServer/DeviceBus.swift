/// What a device sees of the machine that it is plugged into.
///
/// Safe from any thread, and silent while no client is there.
public final class DeviceBus: Sendable {
  /// Interrupts of the device.
  public let interrupts: Interrupts
  let configuration: ConfigurationSpace
  let windows: DMAWindows

  init(for description: PCIDescription) throws(PCIDescription.Flaw) {
    configuration = try ConfigurationSpace(description)
    interrupts = Interrupts(description)
    windows = DMAWindows()
  }
}
