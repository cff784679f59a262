import SystemPackage
package import TestSupport
package import VFIOUserClient
package import VFIOUserServer
import VFIOUserProtocol
import VFIOUserTransport

/// A device behind a real socket, for one client after the other.
package final class DeviceBench<Plugged: Device> {
  /// What is plugged in.
  package let device: Plugged
  private let server: DeviceServer

  /// The client before did not go.
  package struct StillOccupied: Error {}

  /// Makes a device.
  package init(
    _ description: PCIDescription, _ options: ServerOptions = ServerOptions(),
    make: (DeviceContext) throws -> Plugged
  ) throws {
    (device, server) = try plug(description, options, make: make)
  }

  /// A client; the one before needs a moment to be gone.
  package func connect(_ change: (inout ClientOptions) -> Void = { _ in }) throws -> Client {
    var options = ClientOptions()
    change(&options)
    return try Client(socket(), options: options)
  }

  /// A client that does what a test's script says.
  package func script() throws -> ScriptedPeer {
    let peer = ScriptedPeer(try socket())
    let json = Array(#"{"capabilities":{"max_data_xfer_size":1048576}}"#.utf8)
    _ = try peer.ask(message(.version, [0, 0, 1, 0] + json + [0]))
    return peer
  }

  private func socket() throws -> MessageSocket {
    let server = server
    guard eventually({ !server.hasClient }) else { throw StillOccupied() }
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    return mine
  }
}
