import CLinux
import Glibc
import LinuxPrimitives
import VFIOUserProgram

/// The raw floor: messages of the same sizes over a pair of UNIX sockets to another process, with `send` and `recv` and
/// nothing of this package in between.
final class BenchFloor {
  /// What one sample sends at once, and waits for.
  struct Step: Equatable {
    let sent: Int
    let received: Int
  }

  private let descriptor: OwnedDescriptor
  private let peer: StartedProgram
  private let steps: [Step]
  private var bytes: [UInt8]

  /// Starts the other end.
  ///
  /// - Parameters:
  ///   - exchanges: the messages of a sample, in order.
  ///   - isBatched: whether a sample sends all of them at once, instead of one after the other.
  init(_ exchanges: [FloorExchange], isBatched: Bool) throws {
    steps =
      isBatched
      ? [
        Step(
          sent: exchanges.reduce(0) { $0 + $1.request },
          received: exchanges.reduce(0) { $0 + $1.reply })
      ] : exchanges.map { Step(sent: $0.request, received: $0.reply) }
    let most = steps.map { max($0.sent, $0.received) }.max() ?? 1
    bytes = [UInt8](repeating: 0, count: max(1, most))
    var ends: [Int32] = [-1, -1]
    _ = try checked("socketpair", unsafe clinux_socket_pair(&ends))
    descriptor = OwnedDescriptor(adopting: ends[0])
    _ = clinux_set_receive_timeout(descriptor.number, 5_000_000_000)
    // Closed here once the peer has it, so that it sees the end.
    let other = OwnedDescriptor(adopting: ends[1])
    peer = try StartedProgram(
      arguments: ["bench-peer"] + exchanges.map(\.text), input: .same(other.number), output: .null)
  }

  deinit {
    _ = clinux_shutdown(descriptor.number)
    peer.kill()
  }

  /// One sample.
  func exchange() throws {
    for step in steps {
      // Sound: both read or write the buffer that they are given.
      unsafe try move(step.sent) { unsafe send(descriptor.number, $0, $1, Int32(MSG_NOSIGNAL)) }
      unsafe try move(step.received) { unsafe recv(descriptor.number, $0, $1, 0) }
    }
  }

  private func move(_ count: Int, _ call: (UnsafeMutableRawPointer?, Int) -> Int) throws {
    var left = count
    while left > 0 {
      // Sound: the buffer is the array's own, for the length of the call.
      let moved = unsafe bytes.withUnsafeMutableBytes { unsafe call($0.baseAddress, left) }
      guard moved > 0 else {
        throw CommandError("the other end of the raw floor does not answer (errno \(errno)).")
      }
      left -= moved
    }
  }
}
