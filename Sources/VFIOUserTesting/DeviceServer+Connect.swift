internal import LinuxPrimitives
public import VFIOUserClient
public import VFIOUserServer

extension DeviceServer {
  /// Connects a client to the device in this process, over a socket pair.
  ///
  /// This is for tests: the device runs in the test's own process, with the same messages, threads and limits
  /// as in a process of its own.
  ///
  /// ```swift
  /// let server = try DeviceServer(HelloDevice.pci) { try HelloDevice($0) }
  /// let client = try server.connect()
  /// #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 0x6F6C_6548)
  /// ```
  ///
  /// A device has one client at a time: ``/VFIOUserServer/DeviceServer/hasClient`` is false again a moment after
  /// ``/VFIOUserClient/Client/disconnect()``. This waits up to ten seconds for that.
  ///
  /// - Parameter options: the client's; reconnection has no effect, since there is no path.
  /// - Throws: ``/VFIOUserClient/ClientError`` when the versions do not agree or another client stays, ``/VFIOUserClient/ClientError/Reason/system(_:)`` when
  ///   there is no descriptor or thread left.
  public func connect(_ options: ClientOptions = ClientOptions()) throws(ClientError) -> Client {
    waitUntilFree(before: .after(.seconds(10)))
    return try Client(servedEnd(), options: options)
  }

  /// A socket whose other end is served by a thread of its own, until the client goes.
  private func servedEnd() throws(ClientError) -> MessageSocket {
    do throws(SystemCallError) {
      let (clientEnd, serverEnd) = try MessageSocket.pair()
      try DetachedThread.start("vfio-user-test") { self.serve(serverEnd) }
      return clientEnd
    } catch {
      throw ClientError(.system(error))
    }
  }
}
