package import VFIOUserProtocol
package import VFIOUserServer

/// A device of a test that is made first and plugged in later.
package protocol PluggedDevice: Device {
  /// What it looks like on the bus.
  var pci: PCIDescription { get }

  /// Whether the framework looks at the bus master bit; most tests do not set it.
  var requiresBusMaster: Bool { get }

  /// Hands over its context, once, before the first client comes.
  func attach(to bus: DeviceContext)
}

extension PluggedDevice {
  /// False.
  package var requiresBusMaster: Bool { false }
  /// Does nothing.
  package func attach(to bus: DeviceContext) {}
}

extension DeviceServer {
  /// Plugs a device in.
  package convenience init(
    _ device: any PluggedDevice, _ options: ServerOptions = ServerOptions(),
    features: [FeatureIndex: any DeviceFeatureHandler] = [:]
  ) throws {
    var description = device.pci
    description.requiresBusMaster = device.requiresBusMaster
    try self.init(description, options, features: features) { context in
      device.attach(to: context)
      return device
    }
  }
}

/// Makes a device and its server.
///
/// - Returns: both; the device as what it is.
package func plug<Made: Device>(
  _ description: PCIDescription, _ options: ServerOptions = ServerOptions(),
  make: (DeviceContext) throws -> Made
) throws -> (device: Made, server: DeviceServer) {
  var made: Made?
  let server = try DeviceServer(description, options) { context in
    let device = try make(context)
    made = device
    return device
  }
  guard let made else { preconditionFailure("the server has made its device") }
  return (made, server)
}
