internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// A connection with TLS, whose commands libnbd sends and whose replies it receives.
///
/// libnbd cannot be told to forget where data goes. So the data is in buffers of ours, never in a client's memory, which are
/// kept until the last reply has come (``NBDDrain``).
@safe
final class NBDLibraryTransport: NBDTransport {
  // Sound: `results` has a number for each place, and exists until the handle is closed, in `deinit`.

  private let handle: NBDHandle
  /// libnbd closes its own when a connection fails, and it has to be known when the server is done with it.
  private let socket: OwnedDescriptor
  let descriptor: Int32
  private(set) var failure: Int32 = 0
  /// How commands have ended, by their places; libnbd writes it.
  private let results: UnsafeMutablePointer<Int32>
  /// Places of commands that have not ended.
  private var places: [Int] = []
  /// By places: whether a command changes blocks.
  private var changes: [Bool]

  /// In `results`: no errno.
  private static let running: Int32 = -1

  let needsPoll = true
  let usesMemory = true
  let isCut = false

  init(_ handle: NBDHandle) throws(SystemCallError) {
    self.handle = handle
    let socket = try OwnedDescriptor.duplicate(of: handle.descriptor)
    descriptor = socket.number
    self.socket = consume socket
    unsafe results = .allocate(capacity: NBDConnection.mostCommands)
    unsafe results.initialize(repeating: 0, count: NBDConnection.mostCommands)
    places.reserveCapacity(NBDConnection.mostCommands)
    changes = Array(repeating: false, count: NBDConnection.mostCommands)
  }

  deinit {
    handle.close()
    unsafe results.deallocate()
  }

  var wanted: Int16 { handle.wanted }
  var isSilent: Bool { failure != 0 }
  var isChanging: Bool { places.contains { changes[$0] } }

  func begin(_ command: NBDCommand, count: UInt64, offset: UInt64, at place: Int) -> Bool {
    unsafe results[place] = Self.running
    let isBegun = unsafe handle.begin(command, count: count, offset: offset, results + place)
    if handle.isOver { failure = handle.lastError }
    // What has ended with the connection is not answered.
    guard isBegun || failure != 0 else { return false }
    places.append(place)
    changes[place] = unsafe command.kind.changesBlocks
    return true
  }

  /// libnbd sends what is begun.
  func send() {}

  func receive(_ events: Int16, _ end: (Int, Int32) -> Void) -> Bool {
    if events & Int16(CLINUX_WRITABLE) != 0 { note(handle.notify(reading: false, writing: true)) }
    // Only when there is data: told too often libnbd waits for that, and sends no commands. What TLS has already taken from
    // the socket it looks at by itself.
    if events & ~Int16(CLINUX_WRITABLE) != 0, failure == 0 {
      note(handle.notify(reading: true, writing: false))
    }
    takeEnded(end)
    return events != 0
  }

  private func takeEnded(_ end: (Int, Int32) -> Void) {
    places.removeAll { place in
      let error = unsafe results[place]
      // Anything else: not done, but given up with the connection.
      guard error == 0 || NBDReplyError.isKnown(error) else { return false }
      end(place, error)
      return true
    }
  }

  private func note(_ error: Int32) {
    if error != 0, handle.isOver { failure = error }
  }

  func giveUp() {}

  func sayGoodbye() { handle.sayGoodbye() }

  func close() { handle.close() }
}
