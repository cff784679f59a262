import SystemPackage
import VFIOUserClient
import VFIOUserInspection

extension ConfigurationBytes {
  /// Reads configuration space, and changes nothing there.
  ///
  /// One access, as QEMU reads it; a device that refuses that is asked for four bytes at a time.
  init(of client: Client) throws(ClientError) {
    let region = try client.region(.configuration)
    let size = UInt64(Self.extendedSize)
    let wanted = region.size >= size ? Self.extendedSize : Self.conventionalSize
    do throws(ClientError) {
      self.init(try client.read(.configuration, at: 0, count: wanted))
    } catch {
      guard case .refused = error.reason else { throw error }
      self.init(try Self.bySingleAccesses(client, wanted, error))
    }
  }

  /// As much as the device answers.
  private static func bySingleAccesses(
    _ client: Client, _ wanted: Int, _ first: ClientError
  ) throws(ClientError) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < wanted {
      do throws(ClientError) {
        bytes += try client.read(.configuration, at: UInt64(bytes.count), count: 4)
      } catch {
        guard case .refused = error.reason else { throw error }
        guard bytes.count >= 64 else { throw first }
        return bytes
      }
    }
    return bytes
  }
}
