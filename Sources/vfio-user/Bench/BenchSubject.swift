import CLinux
import SystemPackage
import VFIOUserClient
import VFIOUserProgram
import VFIOUserProtocol

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
    // By the connection that measures first: there are servers that end with their first client.
    let access = RegionAccess(offset: 0, region: .configuration, count: 4)
    let reply = try wire().reply(.regionRead, access)
    let bytes = Array(reply.dropFirst(RegionAccess.wireSize))
    guard bytes.count == 4 else {
      throw CommandError(
        "\(path): the vendor ID cannot be read: \(bytes.count) bytes came instead of 4.")
    }
    let numbers = AccessWidth.two.numbers(in: bytes).map { hex($0, 4) }
    identity = numbers.joined(separator: ":")
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

  /// Bytes of a region.
  func size(of region: RegionIndex) throws -> UInt64 {
    let reply = try wire().reply(.deviceGetRegionInfo, RegionInfo.request(region))
    do throws(WireError) {
      return try RegionInfo(decoding: reply.span).size
    } catch {
      throw ClientError.malformedReply(.deviceGetRegionInfo, error)
    }
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
