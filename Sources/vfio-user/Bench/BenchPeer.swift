import ArgumentParser
import Glibc

/// `vfio-user bench-peer`, started by `vfio-user bench`: the other end of the raw floor, in a process of its own as a
/// device is.
///
/// Standard input is a UNIX socket. The arguments are the sizes of messages, `32:36` for 32 bytes that come and 36 that
/// go; it answers one after the other, from the first again behind the last, until the socket is closed. What it has
/// received with one call it answers with one, as a server does. It uses nothing of this package.
struct BenchPeer: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench-peer", abstract: "The other end of the raw floor of `vfio-user bench`.",
    shouldDisplay: false)

  private static let room = 2 << 20

  @Argument(help: "Sizes of messages: request:reply.", transform: FloorExchange.init(text:))
  var exchanges: [FloorExchange]

  func run() throws {
    var bytes = [UInt8](repeating: 0, count: Self.room)
    var place = 0
    var had = 0
    while true {
      // Sound: the buffer is the array's own, for the length of the call; the same below.
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe recv(STDIN_FILENO, $0.baseAddress, $0.count, 0)
      }
      guard got > 0 else { return }
      had += got
      var answer = 0
      while had >= exchanges[place].request {
        had -= exchanges[place].request
        answer += exchanges[place].reply
        place = place + 1 == exchanges.count ? 0 : place + 1
      }
      while answer > 0 {
        let sent = unsafe bytes.withUnsafeBytes {
          unsafe send(
            STDIN_FILENO, $0.baseAddress, min(answer, $0.count), Int32(MSG_NOSIGNAL))
        }
        guard sent > 0 else { return }
        answer -= sent
      }
    }
  }
}

/// The sizes of a message and of the answer to it; 0 for none.
struct FloorExchange: Equatable {
  let request: Int
  let reply: Int

  init(_ request: Int, _ reply: Int) {
    self.request = request
    self.reply = reply
  }

  init(text: String) throws {
    let numbers = text.split(separator: ":").compactMap { Int($0) }
    guard numbers.count == 2, numbers[0] > 0, numbers[1] >= 0 else {
      throw ValidationError("'\(text)' is no exchange like 32:36.")
    }
    self.init(numbers[0], numbers[1])
  }

  var text: String { "\(request):\(reply)" }
}
