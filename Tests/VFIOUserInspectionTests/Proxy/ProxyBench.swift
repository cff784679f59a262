import Foundation
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserInspection

/// A proxy, with a client and a server at its sides that do what a test wants.
final class ProxyBench {
  let client: MessageSocket
  let server: MessageSocket
  let proxy: Proxy
  let tap: ProxyLog
  private let folder: ScratchFolder

  init(tap: ProxyLog = ProxyLog()) throws {
    folder = try ScratchFolder()
    self.tap = tap
    let target = try ListeningSocket(path: FilePath(folder.path("server")))
    let front = try ListeningSocket(path: FilePath(folder.path("front")))
    let proxy = try Proxy(front, to: FilePath(folder.path("server")), tap)
    self.proxy = proxy
    try DetachedThread.start("test-proxy") { proxy.run() }
    client = try MessageSocket(connectingTo: FilePath(folder.path("front")))
    server = MessageSocket(adopting: try target.accept())
  }

  deinit {
    client.shutdown()
    server.shutdown()
    proxy.stop(within: .seconds(5))
  }

  /// Receives exactly this many bytes, or what comes before the end of the stream.
  static func receive(
    _ socket: MessageSocket, _ count: Int, within timeout: Duration = .seconds(10)
  ) -> (bytes: [UInt8], descriptors: [(at: Int, tag: Int)]) {
    var bytes: [UInt8] = []
    var tags: [(at: Int, tag: Int)] = []
    let reader = ProxySocket(socket)
    let deadline = Deadline.after(timeout)
    while bytes.count < count, !deadline.hasPassed {
      var buffer = [UInt8](repeating: 0, count: count - bytes.count)
      let got = unsafe buffer.withUnsafeMutableBytes {
        unsafe try? reader.receive(into: $0, wait: false)
      }
      guard let got else {
        _ = try? socket.wait(for: .readable, before: deadline)
        continue
      }
      guard got.count > 0 else { break }
      for number in got.descriptors {
        tags.append((bytes.count, tag(of: OwnedDescriptor(adopting: number))))
      }
      bytes += buffer[..<got.count]
    }
    return (bytes, tags)
  }
}

/// Remembers what a proxy tells.
final class ProxyLog: ProxyTap {
  private let state = Monitor<(bytes: [PassedBytes], events: [ProxyEvent])>(([], []))

  func passed(_ bytes: PassedBytes) { state.update { $0.bytes.append(bytes) } }
  func happened(_ event: ProxyEvent) { state.update { $0.events.append(event) } }

  var events: [ProxyEvent] { state.withLock { $0.events } }

  /// All bytes of a stream.
  func bytes(_ direction: MessageDirection, isTwin: Bool = false) -> [UInt8] {
    state.withLock { state in
      state.bytes.filter { $0.stream.direction == direction && $0.stream.isTwin == isTwin }
        .flatMap(\.bytes)
    }
  }

  var notes: [DescriptorNote] { state.withLock { $0.bytes.flatMap(\.descriptors) } }

  func awaits(_ isThere: (ProxyEvent) -> Bool) -> Bool {
    eventually { events.contains(where: isThere) }
  }
}
