extension ControlClient {
  /// What the process calls the device on a socket: the name that `list` has, or any path that leads to the same file.
  ///
  /// Looked up here, because the process itself does not touch files that callers name.
  package func socket(_ name: String) throws -> String {
    let path = try AbsolutePath.of(name)
    let devices = try call("list", JSONValue.object([:]), as: DeviceList.self).devices
    if let one = devices.first(where: { $0.socket == name || $0.socket == path }) {
      return one.socket
    }
    guard let wanted = FileIdentity(of: path) else { return path }
    return devices.first { FileIdentity(of: $0.socket) == wanted }?.socket ?? path
  }
}
