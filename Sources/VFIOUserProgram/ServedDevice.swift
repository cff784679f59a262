package import LinuxPrimitives
public import VFIOUserServer

/// A device that a program is about to serve.
public struct ServedDevice {
  /// The device on the bus.
  let description: PCIDescription
  /// Limits and timeouts of the server.
  ///
  /// The program sets ``/VFIOUserServer/ServerOptions/memoryFiles``,
  /// ``/VFIOUserServer/ServerOptions/clientLogLevel``, and of the
  /// ``/VFIOUserServer/ServerOptions/logger`` everything but the label.
  public var options = ServerOptions()
  /// A line that is printed before the device is reported ready; the path of a terminal, for example.
  public var notice: String?
  /// Whether the device uses standard output for itself; the program then prints to standard error.
  public var usesStandardOutput = false
  /// What the device needs while it is served, so that the process can give up everything else (`--sandbox`).
  ///
  /// Nil, as it is at first, is for a device of which that is not known: its process is confined only when somebody asks
  /// for it.
  public var needs: SandboxNeeds?
  /// Removes files just created for the device, in case it is not served after all.
  package var removeMadeFiles: () -> Void = {}
  /// Gives a part of the device another size; nil for a device that has none.
  package var resize: ((ResizeParameters) throws -> Void)?
  /// Shows and changes its rate limits; nil for a device that has none.
  package var rates: RateControl?
  /// Announces a descriptor of the device to a new version of the program.
  package var kept: KeptDescriptor?
  private let make: (DeviceContext) throws -> RunningDevice

  /// Describes a device.
  ///
  /// ```swift
  /// ServedDevice(DiskDevice.pci) { context in
  ///   try DiskDevice(context, file)
  /// } close: { disk in
  ///   disk.flush()
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - description: the device on the bus.
  ///   - make: creates the device, which may keep its context.
  ///   - close: called at the end, when the server has stopped; stops threads and saves state.
  ///   - onHangup: called on each SIGHUP, on a thread of its own. Without it SIGHUP is ignored.
  public init<Served: Device>(
    _ description: PCIDescription, make: @escaping (DeviceContext) throws -> Served,
    close: @escaping (Served) -> Void = { _ in },
    onHangup: (@Sendable (Served) -> Void)? = nil
  ) {
    self.description = description
    self.make = { context in
      let device = try make(context)
      var running = RunningDevice(device: device)
      running.close = { close(device) }
      if let onHangup { running.hangup = { onHangup(device) } }
      return running
    }
  }

  /// Creates the device and its server; on failure removes files created for it.
  package func plug(_ options: ServerOptions) throws -> (DeviceServer, RunningDevice) {
    do {
      var running: RunningDevice?
      let server = try DeviceServer(description, options) { context in
        let made = try make(context)
        running = made
        return made.device
      }
      return (server, running ?? RunningDevice(device: server.device))
    } catch {
      removeMadeFiles()
      throw error
    }
  }
}

/// A running device, and what it requires of the process that serves it.
package struct RunningDevice {
  package let device: any Device
  /// Stops the device's threads and saves its state.
  var close: () -> Void = {}
  /// The action on SIGHUP.
  var hangup: (@Sendable () -> Void)?
}
