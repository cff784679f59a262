public import VFIOUserServer

extension SerialDevice: SavableDevice {
  /// The chip, and the bytes on the wire, which the device that loads them delivers.
  public struct SavedState: Codable, Sendable {
    let port: Port.Record
  }

  /// Nothing is read from the far end or written to it any more.
  public func suspend(_ whenDone: @escaping @Sendable () -> Void) { pump.suspend(whenDone) }

  /// What has to be saved.
  public func save() throws(StateError) -> SavedState { SavedState(port: pump.record) }

  /// Takes a state over; what this port has received and not delivered is dropped.
  ///
  /// - Throws: for a chip that cannot be in such a state, and for more bytes than there is room for.
  public func load(_ state: SavedState) throws(StateError) { try pump.load(state.port) }

  /// Goes on with the far end.
  public func resume() { pump.resume() }
}
