import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Errors of the client` {
  @Test func `An error of a region access says the command, the region and the offset`()
    async throws
  {
    let client = try client { server in
      while true { server.reply(to: try server.receive(), error: 22) }
    }
    var errors: [ClientError?] = [
      failure { () throws(ClientError) in _ = try client.load(.bar2, at: 8, as: UInt32.self) },
      failure { () throws(ClientError) in try client.store(1 as UInt32, .bar2, at: 8) },
      failure { () throws(ClientError) in _ = try client.read(.bar2, at: 8, count: 4) },
    ]
    do { _ = try await client.load(.bar2, at: 8, as: UInt32.self) } catch { errors.append(error) }
    do { try await client.write(.bar2, at: 8, from: [1, 2, 3, 4]) } catch { errors.append(error) }
    #expect(errors.map { $0?.region } == [RegionIndex?](repeating: .bar2, count: 5))
    #expect(errors.map { $0?.offset } == [UInt64?](repeating: 8, count: 5))
    #expect(errors.map { $0?.errno } == [Errno?](repeating: .invalidArgument, count: 5))
    #expect(
      errors.map { $0?.command }
        == [.regionRead, .regionWrite, .regionRead, .regionRead, .regionWrite])
    #expect(
      errors[0]?.description
        == "the device refused REGION_READ: Invalid argument (4 bytes at 0x8 of BAR2)")
  }

  @Test func `An error of connecting says the path`() {
    let path = FilePath("/tmp/vfio-user-nobody-is-there.sock")
    let error = failure { () throws(ClientError) in _ = try Client(connectingTo: path) }
    #expect(error?.path == path && error?.errno == .noSuchFileOrDirectory)
  }

  @Test func `Errors are equal when their reasons are`() throws {
    let client = try client { server in
      while true { server.reply(to: try server.receive(), error: 5) }
    }
    let error = failure { () throws(ClientError) in
      _ = try client.load(.bar0, at: 0, as: UInt8.self)
    }
    #expect(error == .refused(.regionRead, .ioError) && error?.access?.count == 1)
    #expect(error != .refused(.regionWrite, .ioError))
  }
}
