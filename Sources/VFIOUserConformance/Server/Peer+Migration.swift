internal import VFIOUserProtocol

/// `enum vfio_device_mig_state`.
enum DeviceStates {
  static let error: UInt32 = 0
  static let stop: UInt32 = 1
  static let running: UInt32 = 2
  static let stopCopy: UInt32 = 3
  static let resuming: UInt32 = 4
  static let runningP2P: UInt32 = 5
  static let preCopy: UInt32 = 6
  static let preCopyP2P: UInt32 = 7
}

extension Probe {
  /// A client of a device that can be migrated; skips when it cannot.
  func openMigratable() throws(Verdict) -> Peer {
    let peer = try open()
    _ = try peer.migrationFlags()
    return peer
  }
}

extension Peer {
  /// Reads of migration data at once.
  private static let piece: UInt32 = 64 << 10
  /// What is read at most.
  private static let limit = 64 << 20

  /// The flags of the feature MIGRATION; skips when the server refuses it.
  func migrationFlags() throws(Verdict) -> UInt64 {
    let reply = try ask(.feature(Feature.get | Feature.migration))
    guard reply.errno == nil else { throw .skipped("the device cannot be migrated") }
    return reply.long(8)
  }

  /// The device's present state.
  func state() throws(Verdict) -> UInt32 {
    try succeed(.feature(Feature.get | Feature.state), "GET of the device state", atLeast: 16)
      .word(8)
  }

  static func setting(_ state: UInt32) -> Request {
    .feature(Feature.set | Feature.state, .u32(state, 0), argsz: 16)
  }

  /// Changes the device's state.
  func enter(_ state: UInt32, _ name: String) throws(Verdict) {
    try succeed(Self.setting(state), "the way to \(name)")
    try require("the state after the way to \(name)", self.state(), is: state)
  }

  /// Lets the device run, whatever it did.
  func run() throws(Verdict) {
    try enter(DeviceStates.running, "RUNNING")
  }

  /// All of the migration data that there is in the present state.
  func saved() throws(Verdict) -> [UInt8] {
    var data: [UInt8] = []
    while data.count <= Self.limit {
      let piece = try migrationData(Self.piece)
      data += piece
      guard piece.count == Int(Self.piece) else { return data }
    }
    throw fail("\(Self.limit) bytes of migration data at most", saw: "more")
  }

  /// Some migration data.
  func migrationData(_ size: UInt32) throws(Verdict) -> [UInt8] {
    let reply = try succeed(.migrationRead(size), atLeast: 8)
    let count = reply.word(4)
    try require(
      count <= size && reply.payload.count >= 8 + Int(count),
      "at most \(size) bytes of data, and as many as the reply says",
      saw: "size \(count), \(reply.payload.count - 8) bytes")
    // The message may be longer: libvfio-user fills it up to what was asked for.
    return Array(reply.payload.dropFirst(8).prefix(Int(count)))
  }

  /// Writes migration data.
  func load(_ data: [UInt8]) throws(Verdict) {
    var rest = data[...]
    while !rest.isEmpty {
      try succeed(.migrationWrite(Array(rest.prefix(Int(Self.piece)))), "MIG_DATA_WRITE")
      rest = rest.dropFirst(Int(Self.piece))
    }
  }
}
