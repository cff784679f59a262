import CLinux
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// A device that is measured: by one connection, or by another, since it serves one client at a time.
final class BenchSubject {
  /// The devices that are known to have registers for what is measured.
  enum Kind {
    case scratch, edu, other
  }

  let path: String
  /// Vendor and device.
  private(set) var identity = ""
  private(set) var kind = Kind.other
  private var openWire: BenchWire?
  private var openClient: Client?

  init(_ path: String) throws {
    self.path = path
    let client = try client()
    let vendor: UInt16 = try client.load(.configuration, at: 0)
    let device: UInt16 = try client.load(.configuration, at: 2)
    identity = "\(hex(vendor, 4)):\(hex(device, 4))"
    kind = ["1234:5c7c": .scratch, "1234:11e8": .edu][identity] ?? .other
  }

  /// The connection for single messages.
  func wire() throws(ClientError) -> BenchWire {
    if let openWire { return openWire }
    close()
    let wire = try Self.retrying { () throws(ClientError) in try BenchWire(self.path) }
    openWire = wire
    return wire
  }

  /// The connection that also answers the device.
  func client() throws(ClientError) -> Client {
    if let openClient { return openClient }
    close()
    let client = try Self.retrying { () throws(ClientError) in
      try Client(connectingTo: FilePath(self.path))
    }
    openClient = client
    return client
  }

  func close() {
    openWire = nil
    openClient?.disconnect()
    openClient = nil
  }

  /// A server may need a moment until it knows that the client before is gone.
  private static func retrying<Result>(
    _ connect: () throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    let end = clinux_now() + 2_000_000_000
    while true {
      do throws(ClientError) {
        return try connect()
      } catch {
        guard case .refused(.version, .resourceBusy) = error.reason, clinux_now() < end else {
          throw error
        }
        Interruption.sleep(seconds: 0.01)
      }
    }
  }
}
