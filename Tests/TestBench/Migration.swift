public import VFIOUserClient
import VFIOUserProtocol

extension Client {
  /// The state of this client's device, which is stopped and stays so.
  public func takeState() throws -> [UInt8] {
    try setMigrationState(.stopCopy)
    var state: [UInt8] = []
    while true {
      let piece = try readMigrationData(64 << 10)
      state += piece
      if piece.count < 64 << 10 { return state }
    }
  }

  /// Has this client's device go on from a state.
  public func putState(_ state: [UInt8]) throws {
    try setMigrationState(.resuming)
    try writeMigrationData(state)
    try setMigrationState(.running)
  }
}
