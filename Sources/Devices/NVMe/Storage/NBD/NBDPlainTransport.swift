internal import CLinux
internal import DequeModule
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// A connection without TLS: requests and simple replies on a socket (NBD protocol, "Transmission phase").
///
/// libnbd has connected and negotiated. What follows is ours for three reasons: it is known to the byte which replies are
/// still to come, also when the memory for them must not be touched any more (``NBDDrain``); all requests of a turn are sent, and
/// many replies received, by one system call; and a command allocates nothing.
@safe
final class NBDPlainTransport: NBDTransport {
  // Sound: `slices` has room for `mostSlices`, and is used within one call at a time; the memory of a command stays until
  // its end was reported or `giveUp` has forgotten it.

  /// A command between `begin` and its reply.
  @safe
  struct Entry {
    /// 0 for a place that is free; no two commands of a connection have the same.
    var cookie: UInt64 = 0
    var kind = NBDCommand.Kind.flush
    /// Bytes of data, to the server or from it.
    var count = 0
    /// Where they are; nil when they are of no more use.
    var memory: UnsafeMutableRawPointer?
    /// Whether the server has all of the request.
    var isSent = false
    /// What has become of it here.
    var error: Int32 = 0
  }

  private let socket: OwnedDescriptor
  let descriptor: Int32
  var failure: Int32 = 0
  var isSilent = false
  var isCut = false
  var entries: [Entry]
  /// Commands with a cookie.
  var pending = 0
  private var cookies: UInt64 = 0
  // What is to be sent: places in their order, and how much of the first one was sent.
  var queue: Deque<Int> = []
  var sentOfFirst = 0
  let headers: PageBuffer
  let slices: UnsafeMutablePointer<iovec>
  // What is received (NBDPlainTransport+Receiving.swift).
  let input: PageBuffer
  /// What of `input` was received and not looked at.
  var fresh = 0..<0
  /// The place of the read whose data comes next, and bytes of that; nil between replies.
  var reply: (place: Int, left: Int)?
  /// Reads whose data should not go through `input`.
  var largeReads = 0

  static let requestSize = 28
  static let replySize = 16
  static let mostSlices = 2 * NBDConnection.mostCommands
  /// Data of reads up to this is received together with other replies, and copied.
  static let mostCopied = 32 << 10

  let needsPoll = false
  let usesMemory = false

  /// - Parameter socket: a connection that is ready for commands; does not block.
  init(_ socket: consuming OwnedDescriptor) throws(Errno) {
    headers = try PageBuffer(size: NBDConnection.mostCommands * Self.requestSize)
    input = try PageBuffer(size: 64 << 10)
    descriptor = socket.number
    self.socket = socket
    entries = Array(repeating: Entry(), count: NBDConnection.mostCommands)
    queue.reserveCapacity(NBDConnection.mostCommands)
    unsafe slices = .allocate(capacity: Self.mostSlices)
  }

  deinit { unsafe slices.deallocate() }

  var wanted: Int16 { Int16(CLINUX_READABLE | (queue.isEmpty ? 0 : CLINUX_WRITABLE)) }

  var isChanging: Bool {
    pending > 0 && entries.contains { $0.isSent && $0.kind.changesBlocks }
  }

  func begin(_ command: NBDCommand, count: UInt64, offset: UInt64, at place: Int) -> Bool {
    // A cookie is the place and a number that no earlier command had.
    cookies &+= 1
    let cookie = cookies << 8 | UInt64(place)
    var entry = Entry()
    unsafe (entry.cookie, entry.kind) = (cookie, command.kind)
    switch unsafe command {
    case .read(let memory): unsafe (entry.memory, entry.count) = (memory, Int(count))
    case .write(let memory, _):
      unsafe (entry.memory, entry.count) = (UnsafeMutableRawPointer(mutating: memory), Int(count))
    case .flush, .trim, .zero: break
    }
    if entry.kind == .read, entry.count > Self.mostCopied { largeReads += 1 }
    entries[place] = entry
    pending += 1
    unsafe write(command.kind, command.flags, cookie, offset, UInt32(clamping: count), at: place)
    queue.append(place)
    return true
  }

  /// Writes a request's header.
  private func write(
    _ kind: NBDCommand.Kind, _ flags: UInt16, _ cookie: UInt64, _ offset: UInt64, _ count: UInt32,
    at place: Int
  ) {
    // Sound: the buffer has room for a header at each place.
    let bytes = unsafe headers.place(place * Self.requestSize)
    unsafe bytes.storeBytes(of: UInt32(0x2560_9513).bigEndian, as: UInt32.self)
    unsafe bytes.storeBytes(of: flags.bigEndian, toByteOffset: 4, as: UInt16.self)
    unsafe bytes.storeBytes(of: kind.rawValue.bigEndian, toByteOffset: 6, as: UInt16.self)
    unsafe bytes.storeBytes(of: cookie.bigEndian, toByteOffset: 8, as: UInt64.self)
    unsafe bytes.storeBytes(of: offset.bigEndian, toByteOffset: 16, as: UInt64.self)
    unsafe bytes.storeBytes(of: count.bigEndian, toByteOffset: 24, as: UInt32.self)
  }

  /// A place is free again.
  func free(_ place: Int) {
    if entries[place].kind == .read, entries[place].count > Self.mostCopied { largeReads -= 1 }
    entries[place] = Entry()
    pending -= 1
  }

  func giveUp() {
    // Of these the server has nothing, but perhaps a part of the first.
    isCut = sentOfFirst > Self.requestSize
    while let place = queue.popFirst() { free(place) }
    for place in entries.indices { unsafe entries[place].memory = nil }
  }

  func sayGoodbye() {
    guard failure == 0, pending == 0 else { return }
    write(.disconnect, 0, 0, 0, 0, at: 0)
    var slice = unsafe clinux_slice(base: headers.place(0), length: Self.requestSize)
    // Sound: the slice is lent for the call.
    _ = unsafe clinux_send(descriptor, &slice, 1, nil, 0, 0)
  }

  /// Closed with this object, as somebody may still wait for the end of the server's side.
  func close() {}
}
